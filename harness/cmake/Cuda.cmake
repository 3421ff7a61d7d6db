# Two switches. Kernels are compiled wherever nvcc is (torch-free .cu, so every build checks them); they are
# linked in only where a probe program linked to libtorch_cuda starts. HARNESS_CUDA=AUTO|ON|OFF: ON with a
# failing probe is an error that names the missing library, AUTO says what it chose.
set(HARNESS_CUDA AUTO CACHE STRING "AUTO, ON or OFF: build for CUDA devices")
set_property(CACHE HARNESS_CUDA PROPERTY STRINGS AUTO ON OFF)
set(HARNESS_CUDA_COMPILED OFF)
set(HARNESS_CUDA_LINKED OFF)
set(HARNESS_CUDA_WHY "HARNESS_CUDA=OFF")

if(NOT HARNESS_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES OFF)  # set per target
    endif()
    enable_language(CUDA)
    set(HARNESS_CUDA_COMPILED ON)
  else()
    set(HARNESS_CUDA_WHY "no CUDA compiler (nvcc) was found")
  endif()

  if(HARNESS_CUDA_COMPILED AND EXISTS "${HARNESS_TORCH_FOLDER}/lib/libtorch_cuda.so")
    find_package(CUDAToolkit QUIET)
    file(WRITE "${CMAKE_BINARY_DIR}/probe/cuda.cc" "#include <c10/cuda/CUDAFunctions.h>
#include <cstdio>
int main() { std::printf(\"%d devices\\n\", int(c10::cuda::device_count())); }
")
    set(rpath_flags "")
    foreach(folder IN LISTS CMAKE_BUILD_RPATH)
      string(APPEND rpath_flags " -Wl,-rpath,${folder}")
    endforeach()
    try_run(probe_rc probe_compiled "${CMAKE_BINARY_DIR}/probe" "${CMAKE_BINARY_DIR}/probe/cuda.cc"
      CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${HARNESS_TORCH_FOLDER}/include;${CUDAToolkit_INCLUDE_DIRS}"
      LINK_OPTIONS "SHELL:${rpath_flags} -Wl,--no-as-needed -Wl,--unresolved-symbols=ignore-in-shared-libs"
      LINK_LIBRARIES
        "${HARNESS_TORCH_FOLDER}/lib/libtorch_cuda.so" "${HARNESS_TORCH_FOLDER}/lib/libc10_cuda.so"
        "${HARNESS_TORCH_FOLDER}/lib/libtorch_cpu.so" "${HARNESS_TORCH_FOLDER}/lib/libc10.so" CUDA::cudart
      CXX_STANDARD 20
      COMPILE_OUTPUT_VARIABLE probe_compile_output RUN_OUTPUT_VARIABLE probe_output)
    if(probe_compiled AND probe_rc EQUAL 0)
      set(HARNESS_CUDA_LINKED ON)
      set(HARNESS_CUDA_WHY "a program linked to libtorch_cuda starts here")
    elseif(probe_compiled)
      string(STRIP "${probe_output}" probe_output)
      set(HARNESS_CUDA_WHY "a program linked to libtorch_cuda does not start: ${probe_output}")
    else()
      set(HARNESS_CUDA_WHY "a program linked to libtorch_cuda does not link: ${probe_compile_output}")
    endif()
  elseif(HARNESS_CUDA_COMPILED)
    set(HARNESS_CUDA_WHY "${HARNESS_TORCH_FOLDER}/lib holds no libtorch_cuda.so")
  endif()
  if(HARNESS_CUDA STREQUAL "ON" AND NOT HARNESS_CUDA_LINKED)
    message(FATAL_ERROR "HARNESS_CUDA=ON, but ${HARNESS_CUDA_WHY}")
  endif()
endif()
message(STATUS
  "CUDA: kernels compiled ${HARNESS_CUDA_COMPILED}, linked ${HARNESS_CUDA_LINKED} (${HARNESS_CUDA_WHY})")
if(HARNESS_CUDA_LINKED)
  add_library(harness_torch_cuda INTERFACE)
  target_link_options(harness_torch_cuda INTERFACE "LINKER:--no-as-needed")
  target_link_libraries(harness_torch_cuda INTERFACE
    "${HARNESS_TORCH_FOLDER}/lib/libtorch_cuda.so" "${HARNESS_TORCH_FOLDER}/lib/libc10_cuda.so" CUDA::cudart)
  target_link_libraries(harness_torch INTERFACE harness_torch_cuda)
endif()
# One line, without quotes: `harness doctor` prints it.
string(REGEX REPLACE "[\r\n\"\\\\]+" " " HARNESS_CUDA_WHY_TEXT "${HARNESS_CUDA_WHY}")
string(SUBSTRING "${HARNESS_CUDA_WHY_TEXT}" 0 300 HARNESS_CUDA_WHY_TEXT)
