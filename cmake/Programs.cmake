# What our own programs (tests, examples, benchmarks) are compiled with; users of the library get none of it.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

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

# Every component that there is here.
set(ecso_everything ecso::ecso)
foreach(name IN LISTS ecso_optional_components)
  if(TARGET ecso::${name})
    list(APPEND ecso_everything ecso::${name})
  endif()
endforeach()

# ecso_needs(result file): the names of the optional components that a source includes headers of.
function(ecso_needs result file)
  set(needed "")
  foreach(name IN LISTS ecso_optional_components)
    list(TRANSFORM ecso_${name}_headers REPLACE "^.*/include/" "" OUTPUT_VARIABLE headers)
    list(JOIN headers "|" headers)
    ecso_includes(includes ${file} "(\\.\\./include/)?(${headers})[>\"]")
    if(includes)
      list(APPEND needed ${name})
    endif()
  endforeach()
  set(${result} ${needed} PARENT_SCOPE)
endfunction()
