#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// Texts that are looked for at the front of another, the longest first.
class PrefixSet {
 public:
  void add(std::string text) {
    auto& list = by_first_byte_[static_cast<unsigned char>(text.front())];
    auto shorter = std::find_if(list.begin(), list.end(), [&](const std::string& other) {
      return other.size() < text.size();
    });
    list.insert(shorter, std::move(text));
  }
  /// Bytes of the longest text of the set that `text`, which is not empty, begins with; 0: none.
  std::size_t longest(std::string_view text) const {
    for (const std::string& entry : by_first_byte_[static_cast<unsigned char>(text.front())])
      if (text.starts_with(entry)) return entry.size();
    return 0;
  }

 private:
  std::array<std::vector<std::string>, 256> by_first_byte_;
};

}  // namespace harness
