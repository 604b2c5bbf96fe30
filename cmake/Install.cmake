# The install rules, the pkg-config files and the Debian packages. Everything is the same on every machine, so it goes to share/.
include(CMakePackageConfigHelpers)
set(config_dir ${CMAKE_INSTALL_DATADIR}/cmake/ecso)
set(components ecso)
set(pkgconfig_files ecso)
set(recommended "")
foreach(name IN LISTS ecso_optional_components)
  list(APPEND recommended "${ecso_${name}_debian}")
  if(TARGET ecso_${name})
    list(APPEND components ecso_${name})
    list(APPEND pkgconfig_files ecso-${name})
  endif()
endforeach()
list(JOIN recommended ", " recommended)

# One export set a component: a consumer loads only what it asks for.
foreach(target IN LISTS components)
  install(TARGETS ${target} EXPORT ${target}Targets FILE_SET HEADERS COMPONENT dev)
  install(EXPORT ${target}Targets NAMESPACE ecso:: DESTINATION ${config_dir} COMPONENT dev)
endforeach()

configure_file(${PROJECT_SOURCE_DIR}/cmake/ecsoConfig.cmake ecsoConfig.cmake COPYONLY)
write_basic_package_version_file(ecsoConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/ecsoConfig.cmake ${PROJECT_BINARY_DIR}/ecsoConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/ecsoComponents.cmake ${PROJECT_SOURCE_DIR}/cmake/FindMtmd.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindGatewayLibraries.cmake
        DESTINATION ${config_dir} COMPONENT dev)

# From share/pkgconfig, where the files are, to the prefix: so the tree can be moved.
file(RELATIVE_PATH pkgconfig_to_prefix /prefix/${CMAKE_INSTALL_DATADIR}/pkgconfig /prefix)
foreach(name IN LISTS pkgconfig_files)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/${name}.pc.in ${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT dev)
endforeach()

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libecso-dev RENAME copyright COMPONENT dev)
if(TARGET ecso_command)
  install(TARGETS ecso_command COMPONENT command)
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/ecso RENAME copyright COMPONENT command)
  # The Dockerfile builds from the source, which whoever has the package does not have.
  if(TARGET ecso::gateway)
    set(deploy_dir ${CMAKE_INSTALL_DATADIR}/doc/ecso/examples)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples/deploy/ DESTINATION ${deploy_dir} COMPONENT command
            PATTERN "Dockerfile*" EXCLUDE PATTERN ecso.service EXCLUDE)
    # The unit starts the program where it is, which is only known now: `cmake --install` may be given another prefix. CPack's is a
    # folder of its own, from which the package comes to lie under /usr.
    install(CODE "
      cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_PREFIX NORMALIZE OUTPUT_VARIABLE prefix)
      if(prefix MATCHES /_CPack_Packages/)
        set(prefix /usr)
      endif()
      file(READ \"${PROJECT_SOURCE_DIR}/examples/deploy/ecso.service\" unit)
      string(REPLACE /usr/bin/ecso \"\${prefix}/${CMAKE_INSTALL_BINDIR}/ecso\" unit \"\${unit}\")
      file(WRITE \"${PROJECT_BINARY_DIR}/ecso.service\" \"\${unit}\")
      file(INSTALL \"${PROJECT_BINARY_DIR}/ecso.service\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${deploy_dir}\")"
            COMPONENT command)
  endif()
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The ecso authors <ecso@example.com>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL dev)
if(TARGET ecso_command)
  list(APPEND CPACK_COMPONENTS_ALL command)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libecso-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libfmt-dev (>= 9), nlohmann-json3-dev (>= 3.11)")
set(CPACK_DEBIAN_DEV_PACKAGE_RECOMMENDS "${recommended}")
set(CPACK_COMPONENT_DEV_DESCRIPTION "Safer multimodal language models: Eyes Closed, Safety On (headers)")

set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME ecso)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_COMMAND_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_COMPONENT_COMMAND_DESCRIPTION "Safer multimodal language models: Eyes Closed, Safety On (command)")
include(CPack)
