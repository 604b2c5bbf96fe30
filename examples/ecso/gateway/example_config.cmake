# Adds to gateway_sources a source that holds examples/deploy/ecso.toml, for `ecso serve --print-config`.
set(config ${CMAKE_CURRENT_SOURCE_DIR}/deploy/ecso.toml)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${config})
file(READ ${config} bytes HEX)
string(LENGTH ${bytes} digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${bytes}")
file(
  CONFIGURE OUTPUT example_config.cpp CONTENT
  "#include \"ecso/gateway/example_config.hpp\"\n
namespace ecso::command {\n
std::string_view example_config() noexcept { return {\"${bytes}\", ${size}}; }\n
}  // namespace ecso::command\n"
  @ONLY)
list(APPEND gateway_sources ${CMAKE_CURRENT_BINARY_DIR}/example_config.cpp)
