#pragma once

namespace harness {

/// Makes the C library keep the memory of freed tensors for the next ones, up to 1 GB. By default
/// it hands every large block back to the system and takes fresh pages, zeroed and mapped one by
/// one, for the next: in a forward pass these cost a quarter of the time. For programs, at their
/// start; does nothing where the C library is another one than glibc.
void reuse_freed_memory();

/// Hands all freed memory back. Blocks of ever other sizes leave holes that fit no next one: a loop
/// over thousands of batches held a GB more than it used, and more with every batch. The next
/// blocks take fresh pages, about .2 s a GB, so not for every batch.
void return_freed_memory();

}  // namespace harness
