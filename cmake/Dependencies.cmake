# What the library needs: a package of the system first, else the release archive with a checked hash.
include(FetchContent)

# Fetched dependencies are installed along with ecso, since its users need them.
set(FMT_INSTALL ${ECSO_INSTALL})
set(JSON_Install ${ECSO_INSTALL})

FetchContent_Declare(
  fmt
  URL https://github.com/fmtlib/fmt/archive/refs/tags/10.2.1.tar.gz
  URL_HASH SHA256=1250e4cc58bf06ee631567523f48848dc4596133e163f02615c97f78bab6c811
  FIND_PACKAGE_ARGS 9)
FetchContent_Declare(
  nlohmann_json
  URL https://github.com/nlohmann/json/releases/download/v3.11.3/json.tar.xz
  URL_HASH SHA256=d6c65aca6b1ed68e7a182f4757257b107ae403032760ed6ef121c9d55e81757d
  FIND_PACKAGE_ARGS 3.11)
FetchContent_MakeAvailable(fmt nlohmann_json)

find_package(Threads REQUIRED)

set(ecso_with_http FALSE)
if(ECSO_HTTP STREQUAL "AUTO")
  find_package(CURL 7.88)
  set(ecso_with_http ${CURL_FOUND})
  if(NOT CURL_FOUND)
    message(STATUS "ecso: libcurl was not found, so the component http and the command are left out "
                   "(Debian: libcurl4-openssl-dev)")
  endif()
elseif(ECSO_HTTP)
  find_package(CURL 7.88 REQUIRED)
  set(ecso_with_http TRUE)
endif()
