# Fails unless the compiler refuses SOURCE with a message that matches its first line, `// expect: <regex>`, and takes it with
# -DECSO_FIXED, which shows that it was refused for that reason alone.
file(STRINGS ${SOURCE} first LIMIT_COUNT 1)
if(NOT first MATCHES "^// expect: (.+)$")
  message(FATAL_ERROR "The first line of ${SOURCE} must be `// expect: <regex>`.")
endif()
set(expected "${CMAKE_MATCH_1}")
list(TRANSFORM INCLUDES PREPEND -I)
set(compile ${COMPILER} -std=c++20 -fsyntax-only ${INCLUDES})

execute_process(COMMAND ${compile} -DECSO_FIXED ${SOURCE} RESULT_VARIABLE result ERROR_VARIABLE messages)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "With -DECSO_FIXED it should compile, but:\n${messages}")
endif()

execute_process(COMMAND ${compile} ${SOURCE} RESULT_VARIABLE result ERROR_VARIABLE messages)
if(result EQUAL 0)
  message(FATAL_ERROR "It compiled.")
endif()
if(NOT messages MATCHES "${expected}")
  message(FATAL_ERROR "No message matches `${expected}`:\n${messages}")
endif()
