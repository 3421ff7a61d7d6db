#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// Something that the person who runs the harness can mend. The text says where it is, what was
/// found, what was expected and what to do, in that order; empty parts are left out. Bugs are
/// asserts, not Errors.
class Error : public std::runtime_error {
 public:
  /// @param where     file (and line), tensor, key or command that is meant
  /// @param found     what was found there
  /// @param expected  what would have been right
  /// @param remedy    what to do, in the imperative
  Error(std::string_view where, std::string_view found, std::string_view expected = {},
        std::string_view remedy = {});
  /// An error whose whole text is already composed.
  explicit Error(const std::string& text) : std::runtime_error(text) {}
};

/// Collects errors, so that all of them are reported at once before anything runs.
class Problems {
 public:
  void add(const Error& error) { texts_.emplace_back(error.what()); }
  /// Runs `check`; an Error it throws is collected.
  template <class Check>
  void collect(Check&& check) {
    try {
      check();
    } catch (const Error& error) {
      add(error);
    }
  }
  bool empty() const { return texts_.empty(); }
  const std::vector<std::string>& texts() const { return texts_; }
  /// Throws one Error that lists every distinct text, if there is any.
  void throw_if_any() const;

 private:
  std::vector<std::string> texts_;
};

/// The person asked to stop (Ctrl-C). Not an Error: nothing is wrong.
class Interrupted : public std::exception {
 public:
  const char* what() const noexcept override { return "interrupted"; }
};

}  // namespace harness
