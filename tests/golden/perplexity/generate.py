"""Writes windows.json: what perplexity must be for a model whose likelihoods are a formula, in float64.

    python tests/golden/perplexity/generate.py        (needs numpy)

Tokens are the bytes of the text, BOS is 256; -log p(next | all before in the window) is
((31 previous + 17 next + 7 place) mod 101) / 32, where `place` is the position of `next` in its window.
"""

import json
import pathlib
import platform

import numpy as np

TEXT = "The quick brown fox jumps over the lazy dog; " * 5 + "and then it rests."
BOS = 256


def measure(window, bos, limit):
    tokens = ([BOS] if bos else []) + list(TEXT.encode())
    n = len(tokens) // window
    used = np.array(tokens[: n * window], dtype=np.int64).reshape(n, window)[:limit]
    place = np.arange(1, window)
    nll = ((31 * used[:, :-1] + 17 * used[:, 1:] + 7 * place) % 101) / 32
    means = nll.mean(axis=1)
    result = {"window": window, "bos": bos, "limit": limit, "tokens": len(tokens), "windows": means.tolist(),
              "nll": means.mean(), "perplexity": np.exp(means.mean())}
    if len(means) > 1:
        error = means.std(ddof=1) / np.sqrt(len(means))
        result["nll_error"] = error
        result["perplexity_error"] = error * result["perplexity"]
    return result


cases = [measure(16, False, None), measure(16, True, None), measure(16, False, 3), measure(16, False, 1),
         measure(2, True, None), measure(243, False, None), measure(244, True, None)]
golden = {"generator": "tests/golden/perplexity/generate.py",
          "versions": {"python": platform.python_version(), "numpy": np.__version__},
          "text": TEXT, "cases": cases}
path = pathlib.Path(__file__).parent / "windows.json"
path.write_text(json.dumps(golden, indent=1) + "\n")
