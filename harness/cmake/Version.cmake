# The commit is read when the program is built, not when it is configured: harness/cmake/write_version.cmake
# rewrites version.cc only where it changed.
add_custom_target(harness_version_stamp
  COMMAND "${CMAKE_COMMAND}" -DSOURCE=${CMAKE_SOURCE_DIR} -DVERSION=${PROJECT_VERSION}
    -DOUT=${CMAKE_BINARY_DIR}/generated/version.cc
    -P "${CMAKE_CURRENT_LIST_DIR}/write_version.cmake"
  BYPRODUCTS "${CMAKE_BINARY_DIR}/generated/version.cc" VERBATIM)
