# Adds to command_sources a source that holds the labelled items, so that `ecso calibrate` works wherever the program is.
set(own_items ${CMAKE_CURRENT_SOURCE_DIR}/ecso/calibrate/items.jsonl)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${own_items})
file(READ ${own_items} bytes HEX)
string(LENGTH ${bytes} digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${bytes}")
file(
  CONFIGURE OUTPUT own_items.cpp CONTENT
  "#include \"ecso/calibrate/own_items.hpp\"\n
namespace ecso::command {\n
std::string_view own_items() noexcept { return {\"${bytes}\", ${size}}; }\n
}  // namespace ecso::command\n"
  @ONLY)
list(APPEND command_sources ${CMAKE_CURRENT_BINARY_DIR}/own_items.cpp)
