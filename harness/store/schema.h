#pragma once

namespace harness {

// As they were when the program was built:
extern const char* const kSchemaSql;  // schema.sql, the tables
extern const char* const kViewsSql;   // views.sql

}  // namespace harness
