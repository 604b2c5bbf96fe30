# The components beside ecso::ecso. Each needs a library that not everybody has. This file is installed: the build and
# ecsoConfig.cmake read it. Of a component: what its headers are or include (a regular expression), the arguments of find_package, the
# target to link, what people call the library, and Debian's name for it.
set(ecso_optional_components http sqlite llama gateway)

set(ecso_http_includes "(ecso/http/|curl/)")
set(ecso_http_package CURL 7.88)
set(ecso_http_links CURL::libcurl)
set(ecso_http_library libcurl)
set(ecso_http_debian "libcurl4-openssl-dev | libcurl-dev")

set(ecso_sqlite_includes "sqlite3\\.h")
set(ecso_sqlite_package SQLite3 3.34)
set(ecso_sqlite_links SQLite::SQLite3)
set(ecso_sqlite_library SQLite)
set(ecso_sqlite_debian libsqlite3-dev)

set(ecso_llama_includes "(ecso/detail/llama/|llama\\.h|mtmd)")
set(ecso_llama_package Mtmd)
set(ecso_llama_links Mtmd::Mtmd)
set(ecso_llama_library "libllama with libmtmd")
set(ecso_llama_debian libllama-dev)

set(ecso_gateway_includes "(ecso/gateway/|ecso/detail/gateway/|boost/|openssl/|prometheus/)")
set(ecso_gateway_package GatewayLibraries)
set(ecso_gateway_links GatewayLibraries::GatewayLibraries)
set(ecso_gateway_library "Boost 1.81 with OpenSSL and prometheus-cpp")
set(ecso_gateway_debian "libboost-dev (>= 1.81) | libboost1.81-dev, libssl-dev, prometheus-cpp-dev")
