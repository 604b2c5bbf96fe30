# The components, and the one place that says which header belongs to which.
file(GLOB_RECURSE ecso_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/ecso/*.hpp)

set(ecso_http_headers ${ecso_headers})
list(FILTER ecso_http_headers INCLUDE REGEX "/include/ecso/http/")

set(ecso_openai_headers ${ecso_headers})
list(FILTER ecso_openai_headers INCLUDE REGEX "/include/ecso/backend/openai[^/]*$")

set(ecso_core_headers ${ecso_headers})
list(REMOVE_ITEM ecso_core_headers ${ecso_http_headers} ${ecso_openai_headers})

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

  ecso_component(openai ecso_openai "${ecso_openai_headers}")
  target_link_libraries(ecso_openai INTERFACE ecso_http)
endif()
