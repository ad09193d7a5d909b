# quell::compiled_kernels: the kernels as a static library, for projects of more than one or two translation units. Built
# only where something links it, with the flags of the project that includes this.
if(NOT TARGET quell_compiled_kernels)
    set(unit ${CMAKE_CURRENT_BINARY_DIR}/quell_kernels.cpp)
    file(CONFIGURE OUTPUT ${unit} CONTENT "#include \"quell/kernels/levels.hpp\"\n")
    add_library(quell_compiled_kernels STATIC EXCLUDE_FROM_ALL ${unit})
    add_library(quell::compiled_kernels ALIAS quell_compiled_kernels)
    target_link_libraries(quell_compiled_kernels PUBLIC quell::kernels)
    target_compile_definitions(quell_compiled_kernels PUBLIC QUELL_KERNELS_APART=1)
endif()
