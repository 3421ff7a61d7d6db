#pragma once

#include <arrow/result.h>

#include <filesystem>
#include <utility>

#include "harness/core/error.h"

namespace harness {

/// Unwraps what Arrow returns; its error becomes one that names the file and what was expected of
/// it.
template <class T>
T value_of(arrow::Result<T> result, const std::filesystem::path& path, const char* expected) {
  if (!result.ok())
    throw Error(path.string(), result.status().message(), expected,
                "it may be truncated: fetch or write it again");
  return std::move(result).ValueUnsafe();
}

}  // namespace harness
