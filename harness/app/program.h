#pragma once

namespace harness {

/// The whole program. @return 0: done; 1: some runs failed; 2: a request that cannot be done; 130:
/// interrupted
int run_program(int argc, char** argv);

}  // namespace harness
