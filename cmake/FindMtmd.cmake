# libllama and libmtmd of llama.cpp: the target Mtmd::Mtmd. The first has a configuration file of its own, the second has none.
include(FindPackageHandleStandardArgs)
find_package(llama 0.7 QUIET CONFIG)
find_path(Mtmd_INCLUDE_DIR mtmd-helper.h HINTS ${LLAMA_INCLUDE_DIR})
find_library(Mtmd_LIBRARY mtmd HINTS ${LLAMA_LIB_DIR})
find_package_handle_standard_args(Mtmd REQUIRED_VARS Mtmd_LIBRARY Mtmd_INCLUDE_DIR llama_FOUND)
mark_as_advanced(Mtmd_INCLUDE_DIR Mtmd_LIBRARY)

if(Mtmd_FOUND AND NOT TARGET Mtmd::Mtmd)
  add_library(Mtmd::Mtmd INTERFACE IMPORTED)
  target_include_directories(Mtmd::Mtmd INTERFACE ${Mtmd_INCLUDE_DIR})
  target_link_libraries(Mtmd::Mtmd INTERFACE llama ${Mtmd_LIBRARY})
endif()
