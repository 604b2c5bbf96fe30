# embed_files(SOURCES HEADER FUNCTION FILE [FUNCTION FILE...]): adds to the list SOURCES a source with the functions of HEADER, each
# of which gives the bytes of its file, so that the command works wherever the program is.
function(embed_files sources header)
  set(functions "")
  set(pairs ${ARGN})
  while(pairs)
    list(POP_FRONT pairs function file)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} bytes HEX)
    string(LENGTH ${bytes} digits)
    math(EXPR size "${digits} / 2")
    string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${bytes}")
    string(APPEND functions "std::string_view ${function}() noexcept { return {\"${bytes}\", ${size}}; }\n")
  endwhile()
  cmake_path(GET header STEM name)
  file(CONFIGURE OUTPUT ${name}.cpp CONTENT
       "#include \"${header}\"\n\nnamespace ecso::command {\n\n${functions}\n}  // namespace ecso::command\n" @ONLY)
  set(${sources} ${${sources}} ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp PARENT_SCOPE)
endfunction()
