"""Golden areas under the curve of two models on the same prompts, and DeLong's standard error of their difference
(DeLong, DeLong and Clarke-Pearson 1988, equations 5 to 7), by its sums over all pairs.

    python areas.py          (needs numpy; writes areas.json beside this file)
"""

import json
import pathlib
import platform

import numpy as np

rng = np.random.default_rng(0)


def structural_components(harmful, benign):
    above = (harmful[:, None] > benign) + 0.5 * (harmful[:, None] == benign)
    return above.mean(1), above.mean(0)


def case(harmful, benign, spread, decimals):
    before, after = ((rng.normal(1, 1, harmful), rng.normal(0, 1, benign)) for _ in range(2))
    before = [np.round(x, decimals) for x in before]
    after = [np.round(x + spread * y, decimals) for x, y in zip(before, after)]
    components = [structural_components(*scores) for scores in (before, after)]
    variance = sum(np.cov(components[0][side], components[1][side], ddof=1)[[0, 1, 0, 1], [0, 1, 1, 0]]
                   @ np.array([1, 1, -1, -1]) / len(before[side]) for side in (0, 1))
    return {"before": [list(x) for x in before], "after": [list(x) for x in after],
            "areas": [float(c[0].mean()) for c in components], "standard_error": float(np.sqrt(variance))}


cases = [case(60, 50, 0.5, 3), case(128, 107, 2, 3), case(40, 90, 1, 0)]  # the last has ties
golden = {"generator": "tests/golden/statistics/areas.py",
          "versions": {"python": platform.python_version(), "numpy": np.__version__}, "cases": cases}
(pathlib.Path(__file__).parent / "areas.json").write_text(json.dumps(golden, indent=1) + "\n")
