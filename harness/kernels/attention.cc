#include "harness/kernels/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <vector>

#include "harness/kernels/attention_cpu.h"
#include "harness/kernels/cpu_kernels.h"

namespace harness {

namespace {

// Values that a thread moves, and multiply-adds that it does, at least: below, starting threads
// costs more than the work.
constexpr std::int64_t kMoved = 32768, kMultiplyAdds = std::int64_t{1} << 20;
constexpr std::int64_t kAligned = 16;  // floats between addresses that 64 divides

std::int64_t grain(std::int64_t least, std::int64_t work) {
  return std::max<std::int64_t>(1, least / std::max<std::int64_t>(1, work));
}

at::Tensor with_whole_rows(const at::Tensor& x) { return x.stride(3) == 1 ? x : x.contiguous(); }

template <class T>
T* head_of(const at::Tensor& x, std::int64_t row, std::int64_t head) {
  return static_cast<T*>(x.data_ptr()) + row * x.stride(0) + head * x.stride(1);
}

/// T: what q, k, v are stored in, Panel: what K and V are laid out in.
template <class T, class Panel>
using Attend = void (*)(const cpu::Queries<T>&, const cpu::Panels<Panel>&, std::int64_t e,
                        std::int64_t window, float scale, float* scratch);

template <class T, class Panel>
at::Tensor attend_by(Attend<T, Panel> attend, const at::Tensor& q, const at::Tensor& k,
                     const at::Tensor& v, std::optional<std::int64_t> window) {
  const std::int64_t batch = q.size(0), heads = q.size(1), tokens = q.size(2), e = q.size(3);
  const std::int64_t kv_heads = k.size(1), group = heads / kv_heads;

  const auto panels = q.options().dtype(*attention_panels(q.scalar_type()));
  const at::Tensor keys = at::empty({batch, kv_heads, cpu::packed_keys<Panel>(tokens, e)}, panels);
  const at::Tensor values =
      at::empty({batch, kv_heads, cpu::packed_values<Panel>(tokens, e)}, panels);
  at::parallel_for(0, batch * kv_heads, grain(kMoved, tokens * e),
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       const std::int64_t row = i / kv_heads, head = i % kv_heads;
                       cpu::pack_keys(head_of<T>(k, row, head), k.stride(2), tokens, e,
                                      head_of<Panel>(keys, row, head));
                       cpu::pack_values(head_of<T>(v, row, head), v.stride(2), tokens, e,
                                        head_of<Panel>(values, row, head));
                     }
                   });

  const at::Tensor out = at::empty({batch, tokens, heads, e}, q.options()).transpose(1, 2);
  const std::int64_t seen = std::min(window.value_or(tokens), tokens);
  const std::int64_t step = cpu::kAttentionRows / group, blocks = (tokens + step - 1) / step;
  // The last block of tokens sees the most, the first the least: a task takes one from each end.
  const std::int64_t tasks = (blocks + 1) / 2;
  at::parallel_for(
      0, batch * kv_heads * tasks, grain(kMultiplyAdds, 2 * step * group * e * seen),
      [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> memory(
            static_cast<std::size_t>(cpu::attention_scratch<Panel>(e) + kAligned));
        const auto behind =
            reinterpret_cast<std::uintptr_t>(memory.data()) / sizeof(float) % kAligned;
        float* const scratch = memory.data() + (kAligned - behind) % kAligned;
        for (std::int64_t task = begin; task < end; ++task) {
          const std::int64_t row = task / tasks / kv_heads, head = task / tasks % kv_heads;
          auto attend_block = [&](std::int64_t block) {
            attend({.q = head_of<T>(q, row, head * group),
                    .token_stride = q.stride(2),
                    .head_stride = q.stride(1),
                    .out = head_of<T>(out, row, head * group),
                    .out_token_stride = out.stride(2),
                    .out_head_stride = out.stride(1),
                    .group = group,
                    .begin = block * step,
                    .end = std::min((block + 1) * step, tokens)},
                   {head_of<Panel>(keys, row, head), head_of<Panel>(values, row, head)}, e, seen,
                   static_cast<float>(1 / std::sqrt(static_cast<double>(e))), scratch);
          };
          const std::int64_t near = task % tasks, far = blocks - 1 - near;
          attend_block(far);
          if (near < far) attend_block(near);
        }
      });
  return out;
}

}  // namespace

std::optional<at::ScalarType> attention_panels(at::ScalarType dtype) {
  if (dtype == at::kBFloat16 && kernels::cpu_has_avx512_bf16()) return dtype;
  if (dtype != at::kFloat && dtype != at::kBFloat16 && dtype != at::kHalf) return {};
  if (!kernels::cpu_has_avx512()) return {};
  return at::kFloat;
}

bool can_attend(const at::Tensor& q, const at::Tensor& k) {
  return attention_panels(q.scalar_type()) && q.is_cpu() && !at::GradMode::is_enabled() &&
         q.size(1) / k.size(1) <= cpu::kAttentionRows;
}

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            std::optional<std::int64_t> window) {
  assert(can_attend(q, k) && k.sizes() == v.sizes() && k.scalar_type() == q.scalar_type());
  const at::Tensor wq = with_whole_rows(q), wk = with_whole_rows(k), wv = with_whole_rows(v);
  if (q.scalar_type() == at::kFloat)
    return attend_by<float, float>(cpu::attend, wq, wk, wv, window);
  if (q.scalar_type() == at::kHalf)
    return attend_by<cpu::Half, float>(cpu::attend, wq, wk, wv, window);
  if (kernels::cpu_has_amx_bf16())
    return attend_by<cpu::Bf16, cpu::Bf16>(cpu::attend_in_tiles, wq, wk, wv, window);
  if (kernels::cpu_has_avx512_bf16())
    return attend_by<cpu::Bf16, cpu::Bf16>(cpu::attend, wq, wk, wv, window);
  return attend_by<cpu::Bf16, float>(cpu::attend, wq, wk, wv, window);
}

}  // namespace harness
