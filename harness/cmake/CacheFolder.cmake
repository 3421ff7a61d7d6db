# The per-user cache that harness/setup/setup.sh fills: HARNESS_CACHE, else XDG_CACHE_HOME/aaq-harness,
# else ~/.cache/aaq-harness. harness/core/paths.cc says the same to the running program.
if(NOT "$ENV{HARNESS_CACHE}" STREQUAL "")
  set(HARNESS_CACHE_FOLDER "$ENV{HARNESS_CACHE}")
elseif(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(HARNESS_CACHE_FOLDER "$ENV{XDG_CACHE_HOME}/aaq-harness")
else()
  set(HARNESS_CACHE_FOLDER "$ENV{HOME}/.cache/aaq-harness")
endif()

# The folder of a wheel of harness/setup/wheels.txt, the one place that knows the versions.
function(harness_wheel_folder name result)
  set(list_file "${CMAKE_SOURCE_DIR}/harness/setup/wheels.txt")
  set_property(DIRECTORY "${CMAKE_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${list_file}")
  file(STRINGS "${list_file}" row REGEX "^${name} ")
  string(REGEX REPLACE "^${name} ([^ ]+) .*" "\\1" version "${row}")
  set(${result} "${HARNESS_CACHE_FOLDER}/${name}-${version}" PARENT_SCOPE)
endfunction()
