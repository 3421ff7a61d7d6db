#include "harness/kernels/integer_linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <limits>

#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/integer_cpu.h"
#include "harness/kernels/ops_device.h"

namespace harness {
namespace {

using namespace kernels;

// What a thread takes at least, below which starting it costs more than the work: values to
// quantize, and blocks of rows times steps of a panel.
constexpr std::int64_t kGrainValues = 32768, kGrainTiles = 512;

// Panels that are multiplied with one block of rows after the other: they stay in a core's cache,
// and the outputs of a row lie side by side.
constexpr std::int64_t kGroupBytes = std::int64_t{1} << 20;
constexpr std::int64_t kMostGroupPanels = 8;

// Codes of asymmetric weights less this are int8, those of symmetric activations with it uint8.
constexpr int kShift = 128;

std::int64_t divided_up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

std::int64_t largest_difference(const QuantSpec& spec) {  // of a code from its zero
  return spec.symmetric ? std::int64_t{1} << (spec.bits - 1) : (std::int64_t{1} << spec.bits) - 1;
}

const IntegerKernel& integer_kernel() { return *supported_integer_kernels().front(); }

/// [out, groups] as [segments, padded], each group's as often as it has segments.
at::Tensor by_segment(const at::Tensor& of_groups, std::int64_t segments, std::int64_t padded) {
  const at::Tensor rows =
      of_groups.repeat_interleave(segments / of_groups.size(1), 1).t().contiguous();
  return at::constant_pad_nd(rows, {0, padded - rows.size(1)});
}

}  // namespace

const char* integer_implementation() { return integer_kernel().name; }

bool integer_sums_fit(std::int64_t segment, const QuantSpec& input, const QuantSpec& weight) {
  return segment * largest_difference(input) * largest_difference(weight) <=
         std::numeric_limits<std::int32_t>::max();
}

IntegerInput integer_input(const at::Tensor& x, const QuantSpec& spec, std::int64_t segment,
                           const std::string& what) {
  const DType dtype = kernel_dtype(x, what);
  const std::int64_t features = x.size(-1), rows = x.numel() / features;
  const std::int64_t group = spec.group == 0 ? features : spec.group, groups = features / group;
  const std::int64_t segments = features / segment;
  assert(dtype != DType::f64 && x.is_cpu() && group % segment == 0 && features % group == 0);
  const std::int64_t steps = segments * divided_up(segment, kStepInputs);
  const at::Tensor in = x.contiguous();
  IntegerInput result;
  result.shape = x.sizes().vec();
  result.dtype = x.scalar_type();
  auto empty = [&](at::IntArrayRef sizes, at::ScalarType type) {
    return at::empty(sizes, in.options().dtype(type));
  };
  result.codes = empty({divided_up(rows, kTileRows), steps, kTileRows, kStepInputs}, at::kByte);
  result.scales = empty({rows, segments}, at::kFloat);
  result.zeros = empty({rows, segments}, at::kInt);
  result.sums = empty({rows, segments}, at::kInt);
  const char* from = static_cast<const char*>(in.const_data_ptr());
  const std::int64_t row_bytes = features * static_cast<std::int64_t>(in.element_size());
  std::uint8_t* tiles = result.codes.mutable_data_ptr<std::uint8_t>();
  float* scales = result.scales.mutable_data_ptr<float>();
  std::int32_t* zeros = result.zeros.mutable_data_ptr<std::int32_t>();
  std::int32_t* sums = result.sums.mutable_data_ptr<std::int32_t>();

  const QuantizerParams params{spec.symmetric ? Scheme::symmetric_activation : Scheme::asymmetric,
                               spec.bits, spec.clip, false};
  const CpuKernels& cpu = *supported_cpu_kernels().front();
  std::atomic<bool> finite{true};
  at::parallel_for(
      0, rows, std::max<std::int64_t>(1, kGrainValues / features),
      [&](std::int64_t begin, std::int64_t end) {
        std::vector<std::uint8_t> codes(static_cast<std::size_t>(features));
        std::vector<float> steps_of(static_cast<std::size_t>(groups)), zeros_of(steps_of);
        for (std::int64_t row = begin; row < end; ++row) {
          if (!cpu.quantize(dtype, from + row * row_bytes, codes.data(), steps_of.data(),
                            spec.symmetric ? nullptr : zeros_of.data(), groups, group, params)) {
            finite = false;
            return;
          }
          for (std::int64_t s = 0; s < segments; ++s) {
            const auto its_group = static_cast<std::size_t>(s * segment / group);
            scales[row * segments + s] = steps_of[its_group];
            zeros[row * segments + s] =
                spec.symmetric ? kShift : static_cast<std::int32_t>(zeros_of[its_group]);
          }
          lay_out_row(codes.data(), spec.symmetric, segments, segment,
                      tiles + row / kTileRows * steps * kTileBytes + row % kTileRows * kStepInputs,
                      sums + row * segments);
        }
      });
  if (!finite) check_finite(x, what);
  return result;
}

IntegerWeight integer_weight(const QuantizedWeight& weight, const std::optional<at::Tensor>& bias,
                             std::int64_t segment) {
  const std::int64_t outputs = weight.codes.size(0), segments = weight.codes.size(1) / segment;
  const std::int64_t panels = divided_up(outputs, kPanelOutputs), padded = panels * kPanelOutputs;
  const std::int64_t segment_steps = divided_up(segment, kStepInputs);
  assert(weight.codes.is_cpu() && segments * segment == weight.codes.size(1) &&
         segments % weight.scales.size(1) == 0 && weight.scales.scalar_type() == at::kFloat);
  const bool asymmetric = weight.zeros.defined();
  IntegerWeight result;
  result.outputs = outputs;
  result.segment = segment;
  const at::Tensor codes =
      (asymmetric ? (weight.codes.to(at::kShort) - kShift).to(at::kChar) : weight.codes)
          .view({outputs, segments, segment});
  // A word of four inputs is moved as one.
  result.codes =
      at::constant_pad_nd(codes,
                          {0, segment_steps * kStepInputs - segment, 0, 0, 0, padded - outputs})
          .view(at::kInt)
          .view({panels, 2, kPanelOutputs / 2, segments * segment_steps, kStepInputs / 4})
          .permute({0, 3, 1, 4, 2})
          .contiguous();
  result.scales = by_segment(weight.scales, segments, padded);
  const at::Tensor zeros =
      asymmetric ? (weight.zeros - kShift).to(at::kInt) : at::zeros_like(weight.scales, at::kInt);
  result.zeros = by_segment(zeros, segments, padded);
  result.sums =
      at::constant_pad_nd(codes.sum(-1, false, at::kInt).t().contiguous(), {0, padded - outputs}) -
      segment * result.zeros;
  result.bias = bias ? at::constant_pad_nd(bias->to(at::kFloat), {0, padded - outputs})
                     : at::zeros({padded}, result.scales.options());
  return result;
}

at::Tensor integer_linear(const IntegerInput& x, const IntegerWeight& weight) {
  const std::int64_t rows = x.scales.size(0), segments = x.scales.size(1);
  const std::int64_t segment_steps = divided_up(weight.segment, kStepInputs);
  const std::int64_t steps = segments * segment_steps, outputs = weight.outputs;
  const std::int64_t padded = weight.bias.size(0), panels = padded / kPanelOutputs;
  assert(weight.scales.size(0) == segments && x.codes.size(1) == steps);
  std::vector<std::int64_t> shape = x.shape;
  shape.back() = outputs;
  at::Tensor y = at::empty(shape, x.scales.options().dtype(x.dtype));
  if (rows == 0) return y;

  const DType dtype = kernel_dtype(y, "the output of a Linear");
  const std::int64_t value_bytes = static_cast<std::int64_t>(y.element_size());
  char* to = static_cast<char*>(y.mutable_data_ptr());
  const std::uint8_t* codes = x.codes.const_data_ptr<std::uint8_t>();
  const auto* panel_codes = static_cast<const std::int8_t*>(weight.codes.const_data_ptr());
  const float* bias = weight.bias.const_data_ptr<float>();
  const float* x_scales = x.scales.const_data_ptr<float>();
  const std::int32_t* x_zeros = x.zeros.const_data_ptr<std::int32_t>();
  const std::int32_t* x_sums = x.sums.const_data_ptr<std::int32_t>();
  const float* w_scales = weight.scales.const_data_ptr<float>();
  const std::int32_t* w_zeros = weight.zeros.const_data_ptr<std::int32_t>();
  const std::int32_t* w_sums = weight.sums.const_data_ptr<std::int32_t>();

  const std::int64_t group = std::clamp(kGroupBytes / (steps * kPanelStepBytes), std::int64_t{1},
                                        std::min(panels, kMostGroupPanels));
  const std::int64_t blocks = divided_up(rows, kProductRows);
  const std::int64_t tiles = steps * group * divided_up(std::min(rows, kProductRows), kTileRows);
  const IntegerKernel& kernel = integer_kernel();
  // 32 rows of x with one panel.
  auto multiply = [&](std::int64_t row, std::int64_t panel) {
    alignas(64) std::int32_t sums[kProductRows * kPanelOutputs];
    alignas(64) float values[kProductRows * kPanelOutputs];
    const std::int64_t count = std::min(kProductRows, rows - row), output = panel * kPanelOutputs;
    for (std::int64_t s = 0; s < segments; ++s) {
      const std::int64_t step = s * segment_steps;
      kernel.product(codes + (row / kTileRows * steps + step) * kTileBytes, steps * kTileBytes,
                     count, panel_codes + (panel * steps + step) * kPanelStepBytes, segment_steps,
                     sums);
      const std::int64_t of_row = row * segments + s, of_output = s * padded + output;
      const SegmentScales scales{x_scales + of_row, x_zeros + of_row,     x_sums + of_row,
                                 segments,          w_scales + of_output, w_zeros + of_output,
                                 w_sums + of_output};
      const float* start = s == 0 ? bias + output : values;
      const std::int64_t stride = s == 0 ? 0 : kPanelOutputs;
      if (s + 1 < segments)
        scale_sums(sums, count, kPanelOutputs, scales, start, stride, DType::f32, values,
                   kPanelOutputs);
      else
        scale_sums(sums, count, std::min(kPanelOutputs, outputs - output), scales, start, stride,
                   dtype, to + (row * outputs + output) * value_bytes, outputs);
    }
  };
  at::parallel_for(
      0, divided_up(panels, group) * blocks, std::max<std::int64_t>(1, kGrainTiles / tiles),
      [&](std::int64_t begin, std::int64_t end) {
        kernel.begin();
        for (std::int64_t item = begin; item < end; ++item) {
          const std::int64_t first = item / blocks * group;
          for (std::int64_t panel = first; panel < std::min(panels, first + group); ++panel)
            multiply(item % blocks * kProductRows, panel);
        }
        kernel.end();
      });
  return y;
}

}  // namespace harness
