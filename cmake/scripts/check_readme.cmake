# The program that README.md shows is the one between the [readme] marks of the first example.
#   cmake -D ROOT=<source dir> -P check_readme.cmake
cmake_minimum_required(VERSION 3.25)
file(READ ${ROOT}/examples/01_one_matrix/main.cpp example)
file(READ ${ROOT}/README.md readme)
if(NOT example MATCHES "// \\[readme\\][^\n]*\n(.*)\n *// \\[readme\\]")
    message(FATAL_ERROR "examples/01_one_matrix/main.cpp has no two // [readme] marks")
endif()
set(program "${CMAKE_MATCH_1}")
string(FIND "${readme}" "```cpp\n${program}\n```" place)
if(place EQUAL -1)
    message(FATAL_ERROR "README.md shows another program than examples/01_one_matrix/main.cpp:\n${program}")
endif()
