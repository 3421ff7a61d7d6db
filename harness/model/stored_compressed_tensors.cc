#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "harness/core/error.h"
#include "harness/model/stored_linears.h"

// Checkpoints of compressed-tensors (LLM Compressor): compressors/pack_quantized and
// naive_quantized of compressed-tensors 0.20. A weight is (code - zero point) * scale in the
// scales' dtype; codes are signed integers or float8 (e4m3).

namespace harness {
namespace {

/// One of config_groups.
struct Scheme {
  std::vector<std::string> targets;
  std::string format;  // of the weights on disk
  int bits = 0;
  bool floating = false, symmetric = true, activations = false;
  std::string strategy;
  std::int64_t group_size = 0;
  std::vector<std::int64_t> block;  // rows and columns of a block

  std::string text() const {
    std::string result = floating ? fmt::format("fp{}", bits) : fmt::format("int{}", bits);
    if (strategy == "group")
      result += fmt::format(" g{}", group_size);
    else if (strategy == "block")
      result += fmt::format(" {}x{} blocks", block[0], block[1]);
    else
      result += " " + strategy;
    if (!symmetric) result += " asymmetric";
    if (activations) result += ", quantized activations left out";
    return result;
  }
};

constexpr const char* kFormats =
    "pack-quantized, int-quantized, float-quantized or naive-quantized";

Scheme read_scheme(const QuantizationKeys& keys, const std::string& format) {
  Scheme scheme;
  if (const nlohmann::json* targets = keys.find("targets"))
    for (const auto& target : *targets)
      if (target.is_string()) scheme.targets.push_back(target.get<std::string>());
  scheme.format = keys.text("format", format.c_str());
  if (scheme.format != "pack-quantized" && scheme.format != "int-quantized" &&
      scheme.format != "float-quantized" && scheme.format != "naive-quantized")
    keys.refuse("format", fmt::format("\"{}\"", scheme.format), kFormats);
  const QuantizationKeys weights = keys.table("weights");
  const std::int64_t bits = weights.integer("num_bits", 8);
  const std::string type = weights.text("type", "int");
  if (type != "int" && type != "float")
    weights.refuse("type", fmt::format("\"{}\"", type), "int or float");
  scheme.floating = type == "float";
  if (scheme.floating ? bits != 8 : bits < 2 || bits > 8)
    weights.refuse("num_bits", fmt::format("{} of type {}", bits, type),
                   "2 to 8 of type int, 8 of type float");
  scheme.bits = static_cast<int>(bits);
  scheme.group_size = weights.integer("group_size", 0);
  scheme.strategy = weights.text("strategy", scheme.group_size > 0     ? "group"
                                             : scheme.group_size == -1 ? "channel"
                                                                       : "tensor");
  if (scheme.strategy == "block" && scheme.floating) {
    const nlohmann::json* block = weights.find("block_structure");
    if (block && block->is_array())
      for (const auto& size : *block)
        if (size.is_number_unsigned() && size > 0u && size < 1u << 31)
          scheme.block.push_back(size.get<std::int64_t>());
    if (scheme.block.size() != 2)
      weights.refuse("block_structure", block ? block->dump(-1, ' ', true) : "absent",
                     "[rows, columns]");
  } else if (scheme.strategy != "tensor" && scheme.strategy != "channel" &&
             scheme.strategy != "group") {
    weights.refuse("strategy", fmt::format("\"{}\"", scheme.strategy),
                   "tensor, channel or group, of type float also block");
  }
  if (scheme.strategy == "group" && scheme.group_size < 1)
    weights.refuse("group_size", std::to_string(scheme.group_size), "a positive number");
  scheme.symmetric = weights.boolean("symmetric", true);
  scheme.activations = keys.has("input_activations");
  return scheme;
}

/// compressed-tensors utils/match.py, match_name; Linear is the class of all that is quantized.
bool matches(const std::string& name, const std::string& target, const std::string& where) {
  if (!target.starts_with("re:")) return target == name;
  try {
    return std::regex_search(name, std::regex(target.substr(3)),
                             std::regex_constants::match_continuous);
  } catch (const std::regex_error&) {
    throw Error(where, fmt::format("quantization_config has the target {}", target),
                "a regular expression");
  }
}

/// The scheme of a Linear: one that names it before one of all Linears.
const Scheme& scheme_of(const std::vector<Scheme>& schemes, const LinearParts& parts,
                        const std::string& where) {
  for (const Scheme& scheme : schemes)
    for (const std::string& target : scheme.targets)
      if (matches(parts.name(), target, where)) return scheme;
  for (const Scheme& scheme : schemes)
    if (std::count(scheme.targets.begin(), scheme.targets.end(), "Linear")) return scheme;
  throw Error(where, fmt::format("no config group has the target {}", parts.name()),
              "a group for each Linear whose weight is quantized");
}

/// A scale or zero point with one value for all, for each row or for each group of a row, as
/// [out, groups].
at::Tensor by_group(const LinearParts& parts, const Scheme& scheme, const std::string& part,
                    at::ScalarType type, std::int64_t groups) {
  if (scheme.strategy != "tensor") return parts.part(part, type, {parts.out(), groups});
  const at::Tensor one = parts.part(part, type);
  if (one.numel() != 1)
    parts.refuse(part, fmt::format("has {} values", one.numel()), "one, for the whole weight");
  return one.reshape({1, 1}).expand({parts.out(), 1});
}

StoredLinear packed_linear(const LinearParts& parts, const Scheme& scheme) {
  if (scheme.floating)
    parts.refuse("weight_packed", "is there for a weight of type float", "type int");
  const std::int64_t out = parts.out(), in = parts.in(), bits = scheme.bits;
  const std::int64_t group = parts.group(scheme.strategy == "group" ? scheme.group_size : -1);
  auto words = [&](std::int64_t count) { return (count * bits + 31) / 32; };
  const at::Tensor packed = parts.part("weight_packed", at::kInt, {out, words(in)});
  const at::Tensor shape = parts.part("weight_shape", at::kLong, {2});
  if (!shape.equal(at::tensor({out, in}, at::kLong)))
    parts.refuse(
        "weight_shape",
        fmt::format("is [{}, {}]", shape[0].item<std::int64_t>(), shape[1].item<std::int64_t>()),
        fmt::format("[{}, {}]", out, in));
  const at::Tensor scales = by_group(parts, scheme, "weight_scale", at::kFloat, in / group);
  const std::uint8_t middle = static_cast<std::uint8_t>(1 << (bits - 1));
  at::Tensor packed_zeros, signed_zeros;
  if (!scheme.symmetric && scheme.strategy != "tensor")
    packed_zeros = parts.part("weight_zero_point", at::kInt, {words(out), in / group});
  else if (!scheme.symmetric)
    signed_zeros = by_group(parts, scheme, "weight_zero_point", at::kChar, 1);
  at::Tensor order;  // written by versions before 0.16 with actorder = "group"
  if (parts.has("weight_g_idx")) order = order_of_groups(parts, "weight_g_idx", group);
  return integer_linear(scales.scalar_type(), [=, bits = scheme.bits] {
    at::Tensor codes = unpack_bits(packed, bits, in);
    if (order.defined()) codes = codes.index_select(1, order);
    at::Tensor zeros;
    if (packed_zeros.defined())
      zeros = unpack_bits(packed_zeros.t(), bits, out).t();
    else if (signed_zeros.defined())
      zeros = signed_zeros.to(at::kShort).add_(middle).to(at::kByte);
    else
      zeros = at::full({out, in / group}, middle, at::kByte);
    return StoredCodes{from_unsigned(codes, zeros, scales, bits, group), order};
  });
}

StoredLinear int8_linear(const LinearParts& parts, const Scheme& scheme) {
  const std::int64_t out = parts.out(), in = parts.in();
  const std::int64_t group = parts.group(scheme.strategy == "group" ? scheme.group_size : -1);
  const at::Tensor weight = parts.part("weight", at::kChar, {out, in});
  const at::Tensor scales = by_group(parts, scheme, "weight_scale", at::kFloat, in / group);
  at::Tensor zeros;
  if (!scheme.symmetric)
    zeros = by_group(parts, scheme, "weight_zero_point", at::kChar, in / group);
  return integer_linear(scales.scalar_type(), [=] {
    auto shifted = [](const at::Tensor& x) { return x.to(at::kShort).add_(128).to(at::kByte); };
    return StoredCodes{
        from_unsigned(shifted(weight),
                      zeros.defined() ? shifted(zeros)
                                      : at::full({out, in / group}, std::uint8_t{128}, at::kByte),
                      scales, 8, group),
        {}};
  });
}

StoredLinear fp8_linear(const LinearParts& parts, const Scheme& scheme) {
  const std::int64_t out = parts.out(), in = parts.in();
  const at::Tensor weight = parts.part("weight", at::kFloat8_e4m3fn, {out, in});
  at::Tensor scales;
  std::int64_t rows = 1, columns = in;  // that share a scale
  if (scheme.strategy == "block") {
    rows = scheme.block[0], columns = scheme.block[1];
    scales = parts.part("weight_scale", at::kFloat,
                        {(out + rows - 1) / rows, (in + columns - 1) / columns});
  } else {
    columns = parts.group(scheme.strategy == "group" ? scheme.group_size : -1);
    scales = by_group(parts, scheme, "weight_scale", at::kFloat, in / columns);
  }
  return {scales.scalar_type(),
          [=] {
            const at::Tensor each = scales.to(at::kFloat)
                                        .repeat_interleave(rows, 0)
                                        .narrow(0, 0, out)
                                        .repeat_interleave(columns, 1)
                                        .narrow(1, 0, in);
            return weight.to(at::kFloat).mul_(each).to(scales.scalar_type());
          },
          {}};
}

}  // namespace

StoredLinears read_compressed_tensors(const QuantizationKeys& keys, const StoredTensors& tensors,
                                      const ExpectedTensors& expected) {
  const std::string format = keys.text("format", "");
  const QuantizationKeys groups = keys.table("config_groups");
  std::vector<Scheme> schemes;
  for (const auto& [name, group] : keys.find("config_groups")->items())
    schemes.push_back(read_scheme(groups.table(name.c_str()), format));

  StoredLinears result;
  std::vector<std::string> texts;
  for (const auto& [name, shape] : expected) {
    LinearParts parts(tensors, name, shape, result, keys.where());
    const bool packed = parts.has("weight_packed");
    if (shape.size() != 2 || !(packed || parts.has("weight_scale"))) continue;
    const Scheme& scheme = scheme_of(schemes, parts, keys.where());
    result.weights[name] = packed || scheme.format == "pack-quantized"
                               ? packed_linear(parts, scheme)
                           : scheme.floating ? fp8_linear(parts, scheme)
                                             : int8_linear(parts, scheme);
    const std::string text = scheme.text();
    if (!std::count(texts.begin(), texts.end(), text)) texts.push_back(text);
  }
  // What quantized activations and KV caches have beside the weights.
  for (const auto& [name, tensor] : tensors)
    for (const char* end : {".input_scale", ".input_zero_point", ".output_scale",
                            ".output_zero_point", ".k_scale", ".v_scale"})
      if (name.ends_with(end)) result.parts.insert(name);
  result.scheme = fmt::format("compressed-tensors {}", fmt::join(texts, " and "));
  return result;
}

}  // namespace harness
