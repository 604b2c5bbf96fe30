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

# The components that are to be had: ecso_with_<name>.
foreach(name IN LISTS ecso_optional_components)
  string(TOUPPER "ECSO_${name}" option)
  set(ecso_with_${name} FALSE)
  if("${${option}}" STREQUAL "AUTO")
    find_package(${ecso_${name}_package})
    list(GET ecso_${name}_package 0 package)
    set(ecso_with_${name} ${${package}_FOUND})
    if(NOT ecso_with_${name})
      message(STATUS "ecso: ${ecso_${name}_library} was not found, so the component ${name} is left out, with what needs it "
                     "(Debian: ${ecso_${name}_debian})")
    endif()
  elseif(${option})
    find_package(${ecso_${name}_package} REQUIRED)
    set(ecso_with_${name} TRUE)
  endif()
endforeach()
