#include "harness/model/stored_blocks.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <omp.h>

#include "harness/core/paths.h"

namespace harness {
namespace {

/// Every tensor that a block may have, there or not.
std::vector<at::Tensor*> slots(LlamaBlock& block) {
  std::vector<at::Tensor*> all = {&block.input_norm, &block.post_attention_norm, &block.q_norm,
                                  &block.k_norm};
  for (const auto& [name, linear] : block.linears()) {
    all.push_back(&linear->weight);
    all.push_back(&linear->bias);
  }
  return all;
}

}  // namespace

LlamaBlock StoredBlocks::fetch(std::size_t layer) const {
  if (!next_.valid() || next_layer_ != layer) {
    next_ = {};  // waits: two at once are not in memory
    return read(layer);
  }
  LlamaBlock block = next_.get();
  // Its memory belongs to the stream that filled it, which must not have it back before the stream
  // that reads it has done so.
  if (const at::Device device = loader_.device(); !device.is_cpu()) {
    const c10::Stream reader = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
    for (const at::Tensor* tensor : slots(block))
      if (tensor->defined()) tensor->record_stream(reader);
  }
  return block;
}

void StoredBlocks::prefetch(std::size_t layer) const {
  next_layer_ = layer;
  next_ = std::async(std::launch::async, [this, layer] {
    omp_set_num_threads(1);  // of this thread: the others are computing
    const at::NoGradGuard no_gradients;
    const at::Device device = loader_.device();
    if (device.is_cpu()) return read(layer);
    const c10::Stream own =
        c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
    const c10::StreamGuard guard(own);
    LlamaBlock block = read(layer);
    own.synchronize();
    return block;
  });
}

LlamaBlock StoredBlocks::read(std::size_t layer) const {
  const Places& places = kept_[layer];
  const auto number = static_cast<std::int64_t>(layer);
  if (places.empty()) {
    LlamaBlock block = loader_.block(number);
    loader_.release();
    return block;
  }
  LlamaBlock block;
  block.window = loader_.config().window(number);
  const std::vector<at::Tensor*> tensors = slots(block);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!places[i]) continue;
    const at::Tensor values = at::empty(places[i]->shape, places[i]->dtype);
    file_->read(places[i]->offset, values.data_ptr(), values.nbytes());
    *tensors[i] = values.to(loader_.device());
  }
  return block;
}

void StoredBlocks::keep(std::size_t layer, LlamaBlock& block) {
  if (!file_) file_.emplace(cache_folder() / "larger-than-memory");
  const bool first = kept_[layer].empty();
  Places places;
  for (const at::Tensor* tensor : slots(block)) {
    if (!tensor->defined()) {
      places.emplace_back();
      continue;
    }
    const at::Tensor values = tensor->detach().cpu().contiguous();
    Place place{end_, values.sizes().vec(), values.scalar_type()};
    // Over what stood there before: methods leave shapes and dtypes as they are.
    const std::optional<Place> before = first ? std::nullopt : kept_[layer][places.size()];
    if (before && before->shape == place.shape && before->dtype == place.dtype)
      place.offset = before->offset;
    else
      end_ += values.nbytes();
    file_->write(place.offset, values.data_ptr(), values.nbytes());
    places.push_back(std::move(place));
  }
  kept_[layer] = std::move(places);
}

}  // namespace harness
