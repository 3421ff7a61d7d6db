#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/core/error.h"
#include "harness/model/stored_linears.h"

// GPTQ and AWQ checkpoints. GPTQ: AutoGPTQ 0.7.1, nn_modules/qlinear/qlinear_cuda_old.py (pack,
// forward). AWQ: AutoAWQ 0.2.9, modules/linear/{gemm,gemv}.py and utils/packing_utils.py. In both a
// weight is (code - zero point) * scale, in the scales' dtype.

namespace harness {
namespace {

/// "int4 g128" or "int4 channel".
std::string width_and_group(std::int64_t bits, std::int64_t group) {
  return group > 0 ? fmt::format("int{} g{}", bits, group) : fmt::format("int{} channel", bits);
}

bool is_matrix(const std::pair<std::string, std::vector<std::int64_t>>& tensor) {
  return tensor.second.size() == 2;
}

/// Width of `count` packed integers in 32-bit words.
/// @throws Error when they do not fill the last one
std::int64_t words(const LinearParts& parts, std::int64_t count, std::int64_t bits) {
  if (count * bits % 32 != 0)
    parts.refuse("weight", fmt::format("has {} codes of {} bits to pack", count, bits),
                 "codes that fill words of 32 bits");
  return count * bits / 32;
}

}  // namespace

StoredLinears read_gptq(const QuantizationKeys& keys, const StoredTensors& tensors,
                        const ExpectedTensors& expected) {
  const std::int64_t bits = keys.integer("bits", 4), group_size = keys.integer("group_size", -1);
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
    keys.refuse("bits", std::to_string(bits), "2, 3, 4 or 8");
  const char* packing = keys.has("checkpoint_format") ? "checkpoint_format" : "format";
  const std::string format = keys.text(packing, "gptq");
  if (format != "gptq" && format != "gptq_v2")
    keys.refuse(packing, fmt::format("\"{}\"", format),
                "gptq (zero points stored less one) or gptq_v2");
  // Version 1 stores zero points less one; AutoGPTQ adds it back.
  const int less = format == "gptq" ? 1 : 0;
  const bool act_order = keys.boolean("desc_act", false);

  StoredLinears result;
  bool any_order = false;
  for (const auto& tensor : expected) {
    LinearParts parts(tensors, tensor.first, tensor.second, result, keys.where());
    if (!is_matrix(tensor) || !(parts.has("qweight") || parts.has("scales"))) continue;
    const std::int64_t out = parts.out(), in = parts.in(), group = parts.group(group_size);
    const int width = static_cast<int>(bits);
    const at::Tensor qweight = parts.part("qweight", at::kInt, {words(parts, in, bits), out});
    const at::Tensor qzeros = parts.part("qzeros", at::kInt, {in / group, words(parts, out, bits)});
    const at::Tensor scales = parts.part("scales", at::kFloat, {in / group, out});
    at::Tensor order;
    if (parts.has("g_idx"))
      order = order_of_groups(parts, "g_idx", group);
    else if (act_order && group < in)
      parts.refuse("g_idx", "is missing", "it, because quantization_config.desc_act is true");
    any_order = any_order || order.defined();
    result.weights[tensor.first] = integer_linear(scales.scalar_type(), [=] {
      at::Tensor codes = unpack_bits(qweight.t(), width, in);
      if (order.defined()) codes = codes.index_select(1, order);
      const at::Tensor zeros = unpack_bits(qzeros, width, out).to(at::kShort).add_(less);
      return StoredCodes{from_unsigned(codes, zeros.t(), scales.t(), width, group), order};
    });
  }
  result.scheme =
      fmt::format("GPTQ {}{}", width_and_group(bits, group_size), any_order ? " act_order" : "");
  return result;
}

StoredLinears read_awq(const QuantizationKeys& keys, const StoredTensors& tensors,
                       const ExpectedTensors& expected) {
  const std::int64_t bits = keys.integer("bits", keys.integer("w_bit", 4));
  const std::int64_t group_size = keys.integer("group_size", keys.integer("q_group_size", 128));
  if (bits != 4) keys.refuse("bits", std::to_string(bits), "4");
  const std::string version = keys.text("version", "gemm");
  if (version != "gemm" && version != "gemv")
    keys.refuse("version", fmt::format("\"{}\"", version), "gemm or gemv");
  const bool has_zeros = keys.boolean("zero_point", true);
  constexpr int kBits = 4;
  constexpr std::int64_t kPerWord = 8;
  constexpr std::uint8_t kMiddle = 8;

  // gemm packs columns 0, 2, 4, 6, 1, 3, 5, 7 of eight into a word, lowest bits first.
  auto unpack_columns = [](const at::Tensor& packed) {  // [n, columns / 8] -> [columns, n]
    const at::Tensor place = at::tensor({0, 4, 1, 5, 2, 6, 3, 7}, at::kLong);
    const std::int64_t rows = packed.size(0), columns = packed.size(1) * kPerWord;
    return unpack_bits(packed, kBits, columns)
        .view({rows, columns / kPerWord, kPerWord})
        .index_select(2, place)
        .view({rows, columns})
        .t();
  };

  StoredLinears result;
  for (const auto& tensor : expected) {
    LinearParts parts(tensors, tensor.first, tensor.second, result, keys.where());
    if (!is_matrix(tensor) || !(parts.has("qweight") || parts.has("scales"))) continue;
    const std::int64_t out = parts.out(), in = parts.in(), group = parts.group(group_size);
    const std::int64_t groups = in / group;
    const at::Tensor no_zeros = at::full({out, groups}, kMiddle, at::kByte);
    if (version == "gemm") {
      const std::int64_t width = words(parts, out, kBits);
      const at::Tensor qweight = parts.part("qweight", at::kInt, {in, width});
      const at::Tensor scales = parts.part("scales", at::kFloat, {groups, out});
      at::Tensor qzeros;
      if (has_zeros) qzeros = parts.part("qzeros", at::kInt, {groups, width});
      result.weights[tensor.first] = integer_linear(scales.scalar_type(), [=] {
        return StoredCodes{from_unsigned(unpack_columns(qweight),
                                         qzeros.defined() ? unpack_columns(qzeros) : no_zeros,
                                         scales.t(), kBits, group),
                           {}};
      });
    } else {
      // Rows of zero points are padded to whole words, and to more for groups below 128
      // (calculate_zeros_width); rows of scales to as many as there are zero points.
      const std::int64_t multiple = group >= 128 ? 1 : 128 / group;
      const std::int64_t base = (groups + kPerWord - 1) / kPerWord;
      const std::int64_t width = (base + multiple - 1) / multiple * multiple;
      const at::Tensor qweight = parts.part("qweight", at::kInt, {out, words(parts, in, kBits)});
      const at::Tensor scales = parts.part("scales", at::kFloat, {out, width * kPerWord});
      at::Tensor qzeros;
      if (has_zeros) qzeros = parts.part("qzeros", at::kInt, {out, width});
      result.weights[tensor.first] = integer_linear(scales.scalar_type(), [=] {
        return StoredCodes{
            from_unsigned(unpack_bits(qweight, kBits, in),
                          qzeros.defined() ? unpack_bits(qzeros, kBits, groups) : no_zeros,
                          scales.narrow(1, 0, groups), kBits, group),
            {}};
      });
    }
  }
  result.scheme =
      fmt::format("AWQ {}{}", width_and_group(bits, group_size), version == "gemv" ? " gemv" : "");
  return result;
}

}  // namespace harness
