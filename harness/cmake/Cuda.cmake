# Two switches. Kernels are compiled wherever nvcc is (torch-free .cu, so every build checks them); they are
# linked in only where a probe program linked to libtorch_cuda starts. HARNESS_CUDA=AUTO|ON|OFF: ON with a
# failing probe is an error that names the missing library, AUTO says what it chose.
#   HARNESS_CUDA_COMPILED  nvcc works
#   HARNESS_CUDA_LINKED    libtorch_cuda starts too: harness::torch brings it
#   HARNESS_CUDA_WHY_TEXT  one line that says why, for `harness doctor`
set(HARNESS_CUDA AUTO CACHE STRING "AUTO, ON or OFF: build for CUDA devices")
set_property(CACHE HARNESS_CUDA PROPERTY STRINGS AUTO ON OFF)

# Compiles, links and starts a program that asks libtorch_cuda for the number of devices. It declares the one
# function itself (c10/cuda/CUDAFunctions.h): torch's headers would cost 2 s at every configure.
function(harness_probe_torch_cuda works why)
  file(WRITE "${CMAKE_BINARY_DIR}/probe/cuda.cc" "#include <cstdint>
#include <cstdio>
namespace c10::cuda { std::int8_t device_count() noexcept; }
int main() { std::printf(\"%d devices\\n\", int(c10::cuda::device_count())); }
")
  set(link_flags "-Wl,--no-as-needed -Wl,--disable-new-dtags -Wl,--unresolved-symbols=ignore-in-shared-libs")
  foreach(folder IN LISTS CMAKE_BUILD_RPATH)
    string(APPEND link_flags " -Wl,-rpath,${folder}")
  endforeach()
  set(lib "${HARNESS_TORCH_FOLDER}/lib")
  try_run(exit_status compiled "${CMAKE_BINARY_DIR}/probe" "${CMAKE_BINARY_DIR}/probe/cuda.cc"
    LINK_OPTIONS "SHELL:${link_flags}"
    LINK_LIBRARIES "${lib}/libtorch_cuda.so" "${lib}/libc10_cuda.so" "${lib}/libtorch_cpu.so" "${lib}/libc10.so"
      CUDA::cudart
    CXX_STANDARD 20
    COMPILE_OUTPUT_VARIABLE build_output RUN_OUTPUT_VARIABLE output)
  set(${works} OFF PARENT_SCOPE)
  if(NOT compiled)
    set(${why} "a program linked to libtorch_cuda does not link: ${build_output}" PARENT_SCOPE)
  elseif(NOT exit_status EQUAL 0)
    # "PROGRAM: error while loading shared libraries: LIBRARY: ..." without the program's long name.
    string(REGEX REPLACE "^.*: error while loading" "error while loading" output "${output}")
    string(STRIP "${output}" output)
    set(${why} "a program linked to libtorch_cuda does not start: ${output}" PARENT_SCOPE)
  else()
    set(${works} ON PARENT_SCOPE)
    set(${why} "a program linked to libtorch_cuda starts here" PARENT_SCOPE)
  endif()
endfunction()

set(HARNESS_CUDA_COMPILED OFF)
set(HARNESS_CUDA_LINKED OFF)
if(HARNESS_CUDA STREQUAL "OFF")
  set(HARNESS_CUDA_WHY "HARNESS_CUDA=OFF")
else()
  # The toolkit's installer leaves nvcc outside the path. Looked for at each configure: it may come later.
  find_program(nvcc nvcc HINTS "$ENV{CUDA_HOME}/bin" "$ENV{CUDA_PATH}/bin" PATHS /usr/local/cuda/bin NO_CACHE)
  if(nvcc AND NOT CMAKE_CUDA_COMPILER)
    unset(CMAKE_CUDA_COMPILER CACHE)
    if(NOT DEFINED ENV{CUDACXX})
      set(ENV{CUDACXX} "${nvcc}")
    endif()
    include(CheckLanguage)
    check_language(CUDA)
  endif()
  if(NOT nvcc AND NOT CMAKE_CUDA_COMPILER)
    set(HARNESS_CUDA_WHY "no CUDA compiler (nvcc) was found")
  elseif(NOT CMAKE_CUDA_COMPILER)
    set(HARNESS_CUDA_WHY "the CUDA compiler ${nvcc} does not work with ${CMAKE_CXX_COMPILER}")
  else()
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES OFF)  # set per target
    endif()
    enable_language(CUDA)
    set(HARNESS_CUDA_COMPILED ON)
    find_package(CUDAToolkit QUIET)
    if(EXISTS "${HARNESS_TORCH_FOLDER}/lib/libtorch_cuda.so")
      harness_probe_torch_cuda(HARNESS_CUDA_LINKED HARNESS_CUDA_WHY)
    else()
      set(HARNESS_CUDA_WHY "${HARNESS_TORCH_FOLDER}/lib holds no libtorch_cuda.so")
    endif()
  endif()
  if(HARNESS_CUDA STREQUAL "ON" AND NOT HARNESS_CUDA_LINKED)
    message(FATAL_ERROR "HARNESS_CUDA=ON, but ${HARNESS_CUDA_WHY}")
  endif()
endif()
message(STATUS
  "CUDA: kernels compiled ${HARNESS_CUDA_COMPILED}, linked ${HARNESS_CUDA_LINKED} (${HARNESS_CUDA_WHY})")

if(HARNESS_CUDA_LINKED)
  # --no-as-needed: no symbol of libtorch_cuda is used by name, and without it CUDA "is not available".
  add_library(harness_torch_cuda INTERFACE)
  target_link_options(harness_torch_cuda INTERFACE "LINKER:--no-as-needed")
  target_link_libraries(harness_torch_cuda INTERFACE
    "${HARNESS_TORCH_FOLDER}/lib/libtorch_cuda.so" "${HARNESS_TORCH_FOLDER}/lib/libc10_cuda.so" CUDA::cudart)
  target_link_libraries(harness_torch INTERFACE harness_torch_cuda)
endif()
# One line, without quotes: `harness doctor` prints it.
string(REGEX REPLACE "[\r\n\"\\\\]+" " " HARNESS_CUDA_WHY_TEXT "${HARNESS_CUDA_WHY}")
string(SUBSTRING "${HARNESS_CUDA_WHY_TEXT}" 0 300 HARNESS_CUDA_WHY_TEXT)
