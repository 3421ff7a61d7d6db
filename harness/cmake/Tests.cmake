find_package(GTest REQUIRED)
include(GoogleTest)

# harness_test(NAME LIBRARIES... SOURCES ...): one binary and one ctest entry, because a torch binary
# takes half a second to start. Its gtest report is read by the skip check (tests/lint).
function(harness_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "TORCH" "TIMEOUT" "SOURCES;LINK")
  add_executable(${name} ${test_SOURCES})
  target_link_libraries(${name} PRIVATE ${test_LINK} harness_test_support GTest::gmock GTest::gtest_main)
  if(test_TORCH)
    harness_torch_pch(${name})
  endif()
  add_test(NAME ${name} COMMAND ${name} "--gtest_output=xml:${CMAKE_BINARY_DIR}/gtest/${name}.xml")
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${test_TIMEOUT})
  set_property(GLOBAL APPEND PROPERTY HARNESS_TESTS ${name})
endfunction()
