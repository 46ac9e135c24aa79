# What `cmake --install` puts where: the library, shared and as an archive, the headers that clients include, the tool,
# and what pkg-config and find_package(gpuio) read. All of it may be moved as a whole.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gpuio)

install(TARGETS gpuio EXPORT gpuioTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS gpuio_archive ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS gpuio_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/gpuio DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp"
  PATTERN check EXCLUDE PATTERN "random*" EXCLUDE PATTERN "suspend_*" EXCLUDE)

install(DIRECTORY ${PROJECT_BINARY_DIR}/kernels DESTINATION ${CMAKE_INSTALL_DATADIR}/gpuio)  # matmul.spv and so on

install(EXPORT gpuioTargets NAMESPACE gpuio:: DESTINATION ${cmake_dir} FILE gpuioConfig.cmake)
write_basic_package_version_file(gpuioConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/gpuioConfigVersion.cmake DESTINATION ${cmake_dir})

file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/gpuio.pc.in gpuio.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/gpuio.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
