# Headers that cost seconds in each source are parsed once. Two precompiled headers serve the program: harness_pch() where torch
# is not used, and harness_torch_pch() (Torch.cmake), which adds ATen.
set(HARNESS_PCH_HEADERS
  <fmt/format.h> <nlohmann/json.hpp> <filesystem> <functional> <map> <memory> <optional> <string> <vector>)

function(harness_pch target)
  if(NOT TARGET harness_pch_owner)
    file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/pch.cc" CONTENT "// Owns a precompiled header.\n")
    add_library(harness_pch_owner STATIC "${CMAKE_BINARY_DIR}/generated/pch.cc")
    target_include_directories(harness_pch_owner SYSTEM PRIVATE "${NLOHMANN_INCLUDE}")
    target_link_libraries(harness_pch_owner PRIVATE PkgConfig::fmt Threads::Threads)
    target_precompile_headers(harness_pch_owner PRIVATE ${HARNESS_PCH_HEADERS})
  endif()
  target_precompile_headers(${target} REUSE_FROM harness_pch_owner)
endfunction()

# Sources of a room compiled a few at a time: what each would compile again of the templates of others (ATen, fmt, JSON, CLI11) is
# half of a cold build. A name in an unnamed namespace is therefore the room's own.
function(harness_few_units target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
endfunction()
