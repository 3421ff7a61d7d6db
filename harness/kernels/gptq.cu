// GPTQ's column loop on CUDA: a warp takes 32 rows of the weight, whose errors it keeps in shared
// memory (gptq_block.h). Compiled with -fmad=false: the bits of the CPU.

#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/gptq_block.h"

namespace harness::kernels {
namespace {

// Rows are few: small blocks reach all multiprocessors.
constexpr int kRowsOfABlock = 32;

template <class C>
__global__ void __launch_bounds__(kRowsOfABlock)
    quantize_columns(const __grid_constant__ GptqColumns<C> columns) {
  __shared__ C errors[kGptqColumns * kRowsOfABlock];
  const CudaBlock block{kRowsOfABlock};
  for (std::int64_t row = std::int64_t{blockIdx.x} * kRowsOfABlock; row < columns.rows;
       row += std::int64_t{gridDim.x} * kRowsOfABlock)
    gptq_of_rows(block, columns, row, errors);
}

template <class C>
int launch(const GptqColumns<C>& columns, cudaStream_t stream) {
  quantize_columns<<<blocks_for((columns.rows + kRowsOfABlock - 1) / kRowsOfABlock), kRowsOfABlock,
                     0, stream>>>(columns);
  return cudaGetLastError();
}

}  // namespace

int cuda_gptq_columns(const GptqColumns<float>& columns, CUstream_st* stream) {
  return launch(columns, stream);
}
int cuda_gptq_columns(const GptqColumns<double>& columns, CUstream_st* stream) {
  return launch(columns, stream);
}

}  // namespace harness::kernels
