find_package(GTest REQUIRED)

# gmock costs seconds to parse in each source, ATen more: one precompiled header for each of the two kinds of test.
function(harness_test_pch target torch)
  set(owner harness_test_pch_owner)
  set(headers <gmock/gmock.h> <gtest/gtest.h> <fmt/format.h> <filesystem> <map> <optional> <string> <vector>)
  if(torch)
    set(owner harness_torch_test_pch_owner)
    list(APPEND headers <ATen/ATen.h>)
  endif()
  if(NOT TARGET ${owner})
    file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/${owner}.cc" CONTENT "// Owns a precompiled header.\n")
    add_library(${owner} STATIC "${CMAKE_BINARY_DIR}/generated/${owner}.cc")
    target_link_libraries(${owner} PRIVATE harness_test_support GTest::gmock)
    if(torch)
      target_link_libraries(${owner} PRIVATE harness::torch)
    endif()
    target_precompile_headers(${owner} PRIVATE ${headers})
  endif()
  target_precompile_headers(${target} REUSE_FROM ${owner})
endfunction()

# harness_test(NAME SOURCES file... LINK target... [TORCH] [TIMEOUT seconds]): one binary and one ctest entry,
# because a torch binary takes half a second to start. TORCH: its sources include ATen. Its gtest report
# and the list of golden files that it opened are read by the last checks of tests/lint.
function(harness_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "TORCH" "TIMEOUT" "SOURCES;LINK")
  add_executable(${name} ${test_SOURCES})
  target_link_libraries(${name} PRIVATE ${test_LINK} harness_test_support GTest::gmock GTest::gtest_main)
  harness_test_pch(${name} "${test_TORCH}")
  add_test(NAME ${name} COMMAND ${name} "--gtest_output=xml:${CMAKE_BINARY_DIR}/gtest/${name}.xml")
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${test_TIMEOUT}
    ENVIRONMENT "HARNESS_GOLDEN_LOG=${CMAKE_BINARY_DIR}/gtest/${name}.golden")
  set_property(GLOBAL APPEND PROPERTY HARNESS_TESTS ${name})
endfunction()
