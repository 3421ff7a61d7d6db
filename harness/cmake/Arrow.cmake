# Arrow and Parquet from the pyarrow wheel, which ships headers and libraries (no Python is needed).
include(CacheFolder)
harness_wheel_folder(pyarrow wheel)
set(arrow_folder "${wheel}/pyarrow")
if(NOT EXISTS "${arrow_folder}/libarrow.so.2600")
  message(FATAL_ERROR "no Arrow: ${arrow_folder}/libarrow.so.2600 does not exist.\n"
    "Run `bash harness/setup/setup.sh`, which fetches it.")
endif()
add_library(harness_arrow INTERFACE)
add_library(harness::arrow ALIAS harness_arrow)
target_include_directories(harness_arrow SYSTEM INTERFACE "${arrow_folder}/include")
target_link_libraries(harness_arrow INTERFACE
  "${arrow_folder}/libarrow.so.2600" "${arrow_folder}/libparquet.so.2600")
target_link_options(harness_arrow INTERFACE "LINKER:-rpath-link,${arrow_folder}")
list(APPEND CMAKE_BUILD_RPATH "${arrow_folder}")
