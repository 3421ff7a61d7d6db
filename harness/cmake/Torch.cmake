# LibTorch as imported targets of our own. Torch's CMake package is not used: it demands a whole CUDA
# toolkit even where only the CPU libraries are linked.
#   harness::torch  libtorch_cpu and libc10 (Cuda.cmake adds libtorch_cuda and libc10_cuda where they start)
# Where: -DHARNESS_TORCH=FOLDER, else the variable HARNESS_TORCH of the environment (a folder with include/
# and lib/, such as the official archive or site-packages/torch), else the set-up's cache.
include(CacheFolder)

set(HARNESS_TORCH "" CACHE PATH "LibTorch folder with include/ and lib/ (else the environment's HARNESS_TORCH)")
set(torch_folder "${HARNESS_TORCH}")
if(NOT torch_folder)
  set(torch_folder "$ENV{HARNESS_TORCH}")  # read anew at each configure: it may have been set meanwhile
endif()
set(torch_rpath "")
if(NOT torch_folder)
  harness_wheel_folder(torch wheel)
  set(torch_folder "${wheel}/torch")
  # libtorch_cpu.so of the CUDA wheel needs libcudart and libcupti even on a machine without a GPU. A LibTorch of
  # one's own brings what it needs, in its own version.
  foreach(name nvidia-cuda-runtime nvidia-cuda-cupti)
    harness_wheel_folder(${name} wheel)
    list(APPEND torch_rpath "${wheel}/nvidia/cu13/lib")
  endforeach()
endif()
if(NOT EXISTS "${torch_folder}/lib/libtorch_cpu.so")
  message(FATAL_ERROR
    "no LibTorch: ${torch_folder}/lib/libtorch_cpu.so does not exist.\n"
    "Run `bash harness/setup/setup.sh`, which fetches it, or set HARNESS_TORCH to a LibTorch folder.")
endif()
set(HARNESS_TORCH_FOLDER "${torch_folder}")

list(PREPEND torch_rpath "${torch_folder}/lib")

add_library(harness_torch INTERFACE)
add_library(harness::torch ALIAS harness_torch)
# The wheel's include/ also holds an fmt of its own, newer than Debian's library that we link: its headers
# are searched last.
target_compile_options(harness_torch INTERFACE
  "SHELL:-idirafter ${torch_folder}/include"
  "SHELL:-idirafter ${torch_folder}/include/torch/csrc/api/include")
target_link_libraries(harness_torch INTERFACE
  "${torch_folder}/lib/libtorch_cpu.so" "${torch_folder}/lib/libc10.so")
# The threads of OpenMP are to be torch's: LibTorch brings a libgomp, by one name or another, and a second one
# beside it would bring a second pool.
file(GLOB torch_gomp "${torch_folder}/lib/libgomp*.so*")
if(torch_gomp)
  list(GET torch_gomp 0 torch_gomp)
else()
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  set(torch_gomp ${OpenMP_CXX_LIBRARIES})
endif()
target_link_libraries(harness_torch INTERFACE ${torch_gomp})
foreach(folder IN LISTS torch_rpath)
  target_link_options(harness_torch INTERFACE "LINKER:-rpath-link,${folder}")
endforeach()
list(APPEND CMAKE_BUILD_RPATH ${torch_rpath})
# Old dtags: a program's RPATH serves also the libraries that its libraries need (libcupti of libtorch_cpu), its
# RUNPATH does not.
target_link_options(harness_torch INTERFACE "LINKER:--disable-new-dtags")

# ATen/ATen.h costs 9 s to parse in each source: one precompiled header serves every target that uses torch.
function(harness_torch_pch target)
  if(NOT TARGET harness_torch_pch_owner)
    file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/torch_pch.cc" CONTENT "// Owns the precompiled ATen header.\n")
    add_library(harness_torch_pch_owner STATIC "${CMAKE_BINARY_DIR}/generated/torch_pch.cc")
    target_link_libraries(harness_torch_pch_owner PRIVATE harness::torch)
    target_include_directories(harness_torch_pch_owner SYSTEM PRIVATE "${NLOHMANN_INCLUDE}")
    target_link_libraries(harness_torch_pch_owner PRIVATE PkgConfig::fmt)
    target_precompile_headers(harness_torch_pch_owner PRIVATE <ATen/ATen.h> ${HARNESS_PCH_HEADERS})
  endif()
  target_precompile_headers(${target} REUSE_FROM harness_torch_pch_owner)
endfunction()
