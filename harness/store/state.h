#pragma once

#include "harness/store/result_store.h"
#include "harness/store/sqlite.h"

namespace harness {

/// What a ResultStore holds; for the sources of this room only.
struct ResultStore::State {
  sqlite::Connection connection;
};

}  // namespace harness
