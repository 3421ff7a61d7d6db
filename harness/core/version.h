#pragma once

namespace harness {

extern const char* const kVersion;  // of the project, from CMakeLists.txt
extern const char* const kCommit;   // git commit of the sources, or "unknown"
extern const bool kCommitDirty;     // whether the sources had uncommitted changes when built

}  // namespace harness
