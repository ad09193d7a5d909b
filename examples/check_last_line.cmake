# Runs PROGRAM (by RUNNER, where it is for another processor) and compares its last line with LAST_LINE.
execute_process(COMMAND ${RUNNER} ${PROGRAM} OUTPUT_VARIABLE output RESULT_VARIABLE status OUTPUT_STRIP_TRAILING_WHITESPACE)
message("${output}")
string(REGEX REPLACE ".*\n" "" found "${output}")
if(NOT status EQUAL 0 OR NOT found STREQUAL LAST_LINE)
    message(FATAL_ERROR "exit status ${status}; the last line is not '${LAST_LINE}'")
endif()
