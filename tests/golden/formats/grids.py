"""Writes harness/model/gguf_grids.cc from the package gguf 0.19.0:

    python grids.py > harness/model/gguf_grids.cc
"""

import numpy as np
import gguf.quants as q

out = ['#include "harness/model/gguf_grids.h"', '',
 '// Written by tests/golden/formats/grids.py from the package gguf 0.19.0 (MIT licence), which has them',
 "// from ggml's ggml-common.h.", '', 'namespace harness {', '']
for name, cls in (("kIq2XxsGrid", q.IQ2_XXS), ("kIq2XsGrid", q.IQ2_XS), ("kIq2SGrid", q.IQ2_S), ("kIq1Grid", q.IQ1_S), ("kIq3XxsGrid", q.IQ3_XXS), ("kIq3SGrid", q.IQ3_S)):
    cls.init_grid()
    grid = cls.grid.reshape(cls.grid_shape)
    index = np.searchsorted(np.array(cls.grid_map, dtype=np.float32), grid).astype(np.uint32)
    width = 16 // grid.shape[1]
    packed = (index << (width * np.arange(grid.shape[1], dtype=np.uint32))).sum(axis=1)
    entries = [f"0x{int(v):04x}," for v in packed]
    out.append(f"const std::array<std::uint16_t, {len(entries)}> {name} = {{{{")
    out += ["    " + " ".join(entries[i:i+12]) for i in range(0, len(entries), 12)]
    out += ["}};", ""]
out.append("}  // namespace harness")
print("\n".join(out))
