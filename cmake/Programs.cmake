# What our own programs (tests, examples, benchmarks) are compiled with; users of the library get none of it.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

if(ECSO_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(ECSO_CCACHE_PROGRAM ccache)
  if(ECSO_CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${ECSO_CCACHE_PROGRAM})
  endif()
endif()

# ecso_program(target source... [LINK target...]): an executable with our warnings.
function(ecso_program target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
  add_executable(${target} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${target} PRIVATE ${arg_LINK})
  ecso_warnings(${target})
endfunction()

function(ecso_warnings target)
  if(NOT MSVC)
    target_compile_options(
      ${target}
      PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor
              -Woverloaded-virtual)
  endif()
endfunction()

# The richest component that there is here.
if(TARGET ecso::http)
  set(ecso_everything ecso::http)
else()
  set(ecso_everything ecso::ecso)
endif()

# ecso_uses_network(result file): whether a source includes a header of the component http.
list(TRANSFORM ecso_http_headers REPLACE "^.*/include/" "" OUTPUT_VARIABLE names)
list(JOIN names "|" ecso_http_names)
macro(ecso_uses_network result file)
  ecso_includes(${result} ${file} "(\\.\\./include/)?(${ecso_http_names})")
endmacro()
