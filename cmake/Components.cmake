# The components, and the one place that says which header belongs to which: by what it includes.
file(GLOB_RECURSE ecso_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/ecso/*.hpp)

# ecso_includes(result file regex): whether a file has an include that matches, such as "ecso/http/".
function(ecso_includes result file regex)
  file(STRINGS ${file} includes REGEX "^#include [<\"]${regex}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  if(includes)
    set(${result} TRUE PARENT_SCOPE)
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

set(ecso_core_headers "")
set(ecso_http_headers "")
foreach(header IN LISTS ecso_headers)
  ecso_includes(http ${header} "(ecso/http/|curl/)")
  if(http)
    list(APPEND ecso_http_headers ${header})
  else()
    list(APPEND ecso_core_headers ${header})
  endif()
endforeach()

# ecso_component(name target headers): the library ecso::<name>.
function(ecso_component name target headers)
  add_library(${target} INTERFACE)
  add_library(ecso::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} VERIFY_INTERFACE_HEADER_SETS ${PROJECT_IS_TOP_LEVEL})
  target_compile_features(${target} INTERFACE cxx_std_20)
  target_sources(${target} INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${headers})
endfunction()

ecso_component(ecso ecso "${ecso_core_headers}")
target_link_libraries(ecso INTERFACE fmt::fmt nlohmann_json::nlohmann_json Threads::Threads)

if(ecso_with_http)
  ecso_component(http ecso_http "${ecso_http_headers}")
  target_link_libraries(ecso_http INTERFACE ecso CURL::libcurl)
endif()
