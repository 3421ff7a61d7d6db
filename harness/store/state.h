#pragma once

#include <string>

#include "harness/store/result_store.h"
#include "harness/store/sqlite.h"

namespace harness {

/// What a ResultStore holds; for the sources of this room only.
struct ResultStore::State {
  sqlite::Connection connection;
  std::string latest = {};      // of the times that order rows, as far as this process knows
  double unsynced_seconds = 0;  // of finished attempts that the disk may not have yet

  /// The present moment as the database writes it: "2026-01-31T12:00:00.000001Z"; where the clock
  /// has gone back, a microsecond after the latest time stored.
  std::string next_moment();
};

}  // namespace harness
