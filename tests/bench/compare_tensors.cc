#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "harness/core/error.h"
#include "harness/model/checkpoint.h"
#include "harness/model/safetensors.h"

// compare_tensors MODEL EXPECTED.safetensors: loads the tensors of a checkpoint that EXPECTED names
// and prints "TENSORS VALUES UNEQUAL DIFFERENCE": how many there are, how many values differ in
// any bit after conversion to float32, and by how much at the most. tests/bench/formats.py calls
// it.

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "compare_tensors MODEL EXPECTED.safetensors\n");
    return 2;
  }
  try {
    auto checkpoint = harness::open_checkpoint(argv[1]);
    harness::SafetensorsFile expected(argv[2]);
    std::int64_t values = 0, unequal = 0;
    double most = 0;
    for (const auto& [name, entry] : expected.entries()) {
      const at::Tensor wanted = expected.load(name).to(at::kFloat);
      const at::Tensor found = checkpoint->load(name).to(at::kFloat).contiguous();
      if (found.sizes() != wanted.sizes()) throw harness::Error(name, "has another shape");
      values += wanted.numel();
      unequal += found.view(at::kInt).ne(wanted.view(at::kInt)).sum().item<std::int64_t>();
      most = std::max(most, found.sub(wanted).abs_().max().item<double>());
    }
    fmt::print("{} {} {} {}\n", expected.entries().size(), values, unequal, most);
    fmt::print(stderr, "{}\n", checkpoint->scheme());
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
