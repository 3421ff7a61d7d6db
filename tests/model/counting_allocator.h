#pragma once

#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdlib>
#include <memory>

namespace harness::test {

// Counts what torch holds on the CPU at once.
class CountingAllocator : public c10::Allocator {
 public:
  CountingAllocator() : previous_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, 100); }
  ~CountingAllocator() override { c10::SetCPUAllocator(previous_, 100); }
  c10::DataPtr allocate(std::size_t bytes) override {
    auto* block = new Block{this, std::aligned_alloc(64, (bytes + 63) / 64 * 64), bytes};
    const std::size_t now = held_ += bytes;
    std::size_t peak = peak_;
    while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
    }
    return {block->memory, block, &release, at::kCPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  std::size_t held() const { return held_; }
  std::size_t peak() const { return peak_; }
  /// From here on.
  void reset_peak() { peak_ = held_.load(); }

 private:
  struct Block {
    CountingAllocator* owner;
    void* memory;
    std::size_t bytes;
  };
  static void release(void* context) {
    const std::unique_ptr<Block> block(static_cast<Block*>(context));
    std::free(block->memory);
    block->owner->held_ -= block->bytes;
  }
  c10::Allocator* previous_;
  std::atomic<std::size_t> held_ = 0, peak_ = 0;  // any thread allocates
};

}  // namespace harness::test
