#pragma once

#include <fmt/format.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/core/error.h"
#include "harness/core/text.h"

namespace harness {

/// Named entries of one kind ("method", "eval", "checkpoint format"). A duplicate name is a bug in
/// the build and throws; an unknown name throws an Error that lists the nearest ones.
template <class Entry>
class Registry {
 public:
  explicit Registry(std::string kind) : kind_(std::move(kind)) {}

  void add(const std::string& name, Entry entry) {
    if (!entries_.emplace(name, std::move(entry)).second)
      throw Error(name, fmt::format("a second {} of this name is registered", kind_), "one",
                  "rename one of the two folders");
  }
  bool contains(const std::string& name) const { return entries_.count(name) > 0; }
  const Entry& get(const std::string& name, const std::string& where = {}) const {
    auto found = entries_.find(name);
    if (found == entries_.end())
      throw Error(where, fmt::format("unknown {} \"{}\"", kind_, name),
                  fmt::format("one of {}", fmt::join(names(), ", ")), did_you_mean(name, names()));
    return found->second;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& [name, entry] : entries_) result.push_back(name);
    return result;
  }

 private:
  std::string kind_;
  std::map<std::string, Entry> entries_;
};

}  // namespace harness
