#pragma once

namespace harness {

/// schema.sql, as it was when the program was built.
extern const char* const kSchemaSql;

}  // namespace harness
