# quell-bench on every instruction set of this machine, with sizes that are no multiple of anything: all rows are right.
#   cmake -D PROGRAM=<quell-bench> -D OUT=<file to write> -P check_summary.cmake
cmake_minimum_required(VERSION 3.25)

# Bad usage is one line; this one names the levels that there are.
execute_process(COMMAND ${CMAKE_COMMAND} -E env QUELL_ISA=none ${PROGRAM} --summary
                RESULT_VARIABLE status ERROR_VARIABLE complaint)
if(NOT status EQUAL 2 OR NOT complaint MATCHES "^[^\n]*there are: ([^\n]*)\n$")
    message(FATAL_ERROR "exit status ${status} and not one line of complaint: ${complaint}")
endif()
string(REPLACE " " ";" levels "${CMAKE_MATCH_1}")

# The other libraries start no threads here: they may not hold up a test that is not about them.
set(ENV{OPENBLAS_NUM_THREADS} 1)
set(ENV{OMP_NUM_THREADS} 1)
foreach(level IN LISTS levels)
    execute_process(COMMAND ${PROGRAM} --summary --isa ${level} --m 1,5 --shapes 64x96,50x416 --seconds 0.01 --json ${OUT}
                    RESULT_VARIABLE status OUTPUT_VARIABLE table ERROR_VARIABLE complaint)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "${level}: exit status ${status}\n${table}${complaint}")
    endif()
    file(READ ${OUT} report)
    string(JSON count LENGTH "${report}" rows)
    if(count LESS 52)
        message(FATAL_ERROR "${level}: ${count} rows")
    endif()
    math(EXPR last "${count} - 1")
    foreach(i RANGE ${last})
        string(JSON row GET "${report}" rows ${i})
        string(JSON format GET "${row}" format)
        string(JSON speed GET "${row}" gops)
        string(JSON exact GET "${row}" exact)
        if(NOT speed GREATER 0 OR NOT (exact STREQUAL "ON" OR format MATCHES "^onednn"))
            message(FATAL_ERROR "${level}: ${row}")
        endif()
    endforeach()
    message(STATUS "${level}: ${count} rows")
endforeach()
