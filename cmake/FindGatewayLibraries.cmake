# What the gateway is built with: Boost (headers only), OpenSSL, and the core of prometheus-cpp. The target
# GatewayLibraries::GatewayLibraries. The package of prometheus-cpp wants its web server too, so its core is looked for by itself.
include(FindPackageHandleStandardArgs)
find_package(Boost 1.81 QUIET CONFIG)
find_package(OpenSSL 3 QUIET)
find_path(PrometheusCore_INCLUDE_DIR prometheus/registry.h)
find_library(PrometheusCore_LIBRARY prometheus-cpp-core)
find_package_handle_standard_args(GatewayLibraries REQUIRED_VARS PrometheusCore_LIBRARY PrometheusCore_INCLUDE_DIR Boost_FOUND
                                                                 OpenSSL_FOUND)
mark_as_advanced(PrometheusCore_INCLUDE_DIR PrometheusCore_LIBRARY)

if(GatewayLibraries_FOUND AND NOT TARGET GatewayLibraries::GatewayLibraries)
  add_library(GatewayLibraries::GatewayLibraries INTERFACE IMPORTED)
  target_include_directories(GatewayLibraries::GatewayLibraries INTERFACE ${PrometheusCore_INCLUDE_DIR})
  target_link_libraries(GatewayLibraries::GatewayLibraries INTERFACE Boost::headers OpenSSL::SSL OpenSSL::Crypto
                                                                     ${PrometheusCore_LIBRARY})
endif()
