#pragma once

namespace harness {

/// Makes the C library keep the memory of freed tensors for the next ones, up to 1 GB. By default
/// it hands every large block back to the system and takes fresh pages, zeroed and mapped one by
/// one, for the next: in a forward pass these cost a quarter of the time. For programs, at their
/// start; does nothing where the C library is another one than glibc.
void reuse_freed_memory();

}  // namespace harness
