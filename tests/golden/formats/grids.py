"""Writes harness/model/gguf_grids.cc from the package gguf 0.19.0:

    python grids.py > harness/model/gguf_grids.cc; clang-format-14 -i harness/model/gguf_grids.cc
"""

import gguf.quants as q
import numpy as np

GRIDS = {"kIq2XxsGrid": q.IQ2_XXS, "kIq2XsGrid": q.IQ2_XS, "kIq2SGrid": q.IQ2_S, "kIq1Grid": q.IQ1_S,
         "kIq3XxsGrid": q.IQ3_XXS, "kIq3SGrid": q.IQ3_S}

print("""#include "harness/model/gguf_grids.h"

// Written by tests/golden/formats/grids.py from the package gguf 0.19.0 (MIT licence), which has them from ggml's
// ggml-common.h.

namespace harness {
""")
for name, kind in GRIDS.items():
    kind.init_grid()
    grid = kind.grid.reshape(kind.grid_shape)
    index = np.searchsorted(np.array(kind.grid_map, dtype=np.float32), grid).astype(np.uint32)
    width = 16 // grid.shape[1]
    packed = (index << (width * np.arange(grid.shape[1], dtype=np.uint32))).sum(axis=1)
    entries = [f"0x{int(value):04x}," for value in packed]
    print(f"const std::array<std::uint16_t, {len(entries)}> {name} = {{{{")
    for start in range(0, len(entries), 12):
        print("    " + " ".join(entries[start:start + 12]))
    print("}};\n")
print("}  // namespace harness")
