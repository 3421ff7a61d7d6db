#pragma once

namespace harness {

/// Makes the C library keep the memory of freed tensors for the next ones, up to 1 GB. By default
/// it hands every large block back to the system and takes fresh pages, zeroed and mapped one by
/// one, for the next: in a forward pass these cost a quarter of the time. For programs, at their
/// start; does nothing where the C library is another one than glibc.
void reuse_freed_memory();

/// Makes oneDNN keep the code of the last 64 shapes of products that it was asked for instead of
/// 1,024: a loop over batches of ever other lengths makes some for each. For programs, at their
/// start; ONEDNN_PRIMITIVE_CACHE_CAPACITY, where it is set, says another number.
void keep_few_primitives();

/// Hands all freed memory back. Blocks of ever other sizes leave holes that fit no next one: a loop
/// over thousands of batches held a GB more than it used, and more with every batch. The next
/// blocks take fresh pages, about .2 s a GB, so not for every batch.
void return_freed_memory();

}  // namespace harness
