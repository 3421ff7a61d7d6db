"""Golden values of the quantizers: methods.md's formulas in numpy float64, and torch's own fake quantization.

    python generate.py          (needs numpy and torch; writes golden.json beside this file)

Inputs are float32. Values within 1e-3 of a rounding tie are moved away, since float32 may fall on the other side;
groups whose two best clip ratios lie within 1e-4 of each other are drawn again for the same reason.
"""

import json
import pathlib
import platform

import numpy as np
import torch

torch.set_num_threads(1)


def grid(scheme, bits, low, high):
    """Scale, zero point, lowest and highest code for extremes low and high, in float64."""
    if scheme == "asymmetric":
        levels = 2**bits - 1
        high, low = max(high, 1e-6), min(low, 0.0)
        scale = max(high - low, 1e-6) / levels
        return scale, float(np.round(-low / scale)), 0, levels
    half = 2 ** (bits - 1)
    if scheme == "symmetric_weight":
        return max(max(high, 1e-6) / (half - 1), min(low, 0.0) / -half), 0.0, -half, half - 1
    scale = max(abs(low), abs(high)) / (half - 1)
    return scale or 1.0, 0.0, -half, half - 1


def dequantized(x, parameters):
    scale, zero, lowest, highest = parameters
    return (np.clip(np.round(x / scale) + zero, lowest, highest) - zero) * scale


def candidates(scheme, bits, clip, x):
    for i in range(80):
        p = 1 - i / 100
        yield grid(scheme, bits, x.min() * clip * p, x.max() * clip * p)


def best_grid(scheme, bits, clip, x):
    """The candidate of least sum of |error|^2.4, and how far the runner-up is, relatively."""
    tried = list(candidates(scheme, bits, clip, x))
    errors = [np.sum(np.abs(dequantized(x, g) - x) ** 2.4) for g in tried]
    order = np.argsort(errors, kind="stable")
    different = [i for i in order if tried[i] != tried[order[0]]]
    return tried[order[0]], errors[different[0]] / max(errors[order[0]], 1e-300) - 1


def away_from_ties(x, parameters):
    steps = x / parameters[0]
    return np.all(np.abs(steps - np.floor(steps) - 0.5) > 1e-3)


def draw_group(random, scheme, bits, clip, mse, size, spread):
    while True:
        x = (random.standard_normal(size) * spread).astype(np.float32).astype(np.float64)
        if random.random() < 0.2:
            x = np.abs(x)  # one-sided groups
        if mse and size > 8:
            x[0] *= 6  # an outlier, so that clipping pays
            x = x.astype(np.float32).astype(np.float64)
        parameters, margin = best_grid(scheme, bits, clip, x) if mse else (grid(scheme, bits, clip * x.min(), clip * x.max()), 1)
        zero_point = -min(clip * x.min(), 0) / parameters[0] if not mse else 0.25
        tie = abs(zero_point - np.floor(zero_point) - 0.5) < 1e-3
        if margin > 1e-4 and away_from_ties(x, parameters) and not tie:
            return x, parameters


def torch_values(x, scheme, parameters):
    """torch.fake_quantize_per_channel_affine, one channel a group, with the scale and zero point given."""
    scales = torch.tensor([p[0] for p in parameters], dtype=torch.float32)
    zeros = torch.tensor([int(p[1]) for p in parameters], dtype=torch.int32)
    lowest, highest = parameters[0][2], parameters[0][3]
    values = torch.fake_quantize_per_channel_affine(torch.tensor(x, dtype=torch.float32), scales, zeros, 0, lowest, highest)
    return [float(v) for v in values.flatten()]


def main():
    random = np.random.default_rng(3)
    cases = []
    for scheme in ("asymmetric", "symmetric_weight", "symmetric_activation"):
        for bits, group, clip, mse in ((2, 7, 1.0, False), (3, 33, 1.0, False), (4, 16, 0.95, False), (4, 64, 1.0, False),
                                       (8, 48, 0.9, False), (4, 40, 1.0, True), (3, 16, 1.0, True)):
            if mse and scheme == "symmetric_activation":
                continue
            drawn = [draw_group(random, scheme, bits, clip, mse, group, 10.0 ** random.integers(-2, 3)) for _ in range(4)]
            x = np.stack([values for values, _ in drawn])
            parameters = [p for _, p in drawn]
            cases.append({
                "scheme": scheme, "bits": bits, "group": group, "clip": clip, "mse_clip": mse,
                "x": [float(v) for v in x.flatten()],
                "scales": [p[0] for p in parameters], "zeros": [p[1] for p in parameters],
                "float64": [float(v) for row, p in zip(x, parameters) for v in dequantized(row, p)],
                "torch": torch_values(x, scheme, parameters),
            })
    golden = {
        "generator": "tests/golden/quantizers/generate.py",
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
        "public_implementation": "torch.fake_quantize_per_channel_affine, scale and zero point given",
        "cases": cases,
    }
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, indent=None, separators=(",", ":")).replace('{"scheme"', '\n{"scheme"') + "\n")


main()
