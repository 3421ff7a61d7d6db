"""Golden values of harness/report/statistics.h, from scipy and statsmodels.

    python generate.py          (needs numpy, scipy and statsmodels; writes golden.json beside this file)

Where neither has the routine, what stands behind it is computed another way: the distribution of resampled counts by
convolution of single items, power by summing over both binomials, bootstrap percentiles from many more draws.
"""

import json
import pathlib
import platform

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

rng = np.random.default_rng(0)


def resampled_counts(higher, lower, items):
    """Percentiles of (higher - lower) / items, resampled: items convolved one with another."""
    one = np.array([lower, items - higher - lower, higher]) / items
    whole, power, left = np.array([1.0]), one, items
    while left:
        if left & 1:
            whole = np.convolve(whole, power)
        power, left = np.convolve(power, power), left >> 1
    cumulative = np.cumsum(whole)
    ends = [(int(np.searchsorted(cumulative, share)) - items) / items for share in (0.025, 0.975)]
    drawn = rng.multinomial(items, one, size=200_000)
    for share, end in zip((0.025, 0.975), ends):
        seen = np.quantile(drawn[:, 2] - drawn[:, 0], share, method="inverted_cdf") / items
        assert abs(seen - end) <= 1.001 / items, (seen, end)
    return ends


def totals(differences, clusters):
    names = {}
    for i, name in enumerate(clusters):
        names.setdefault(name or f"only {i}", []).append(differences[i])
    return [np.array(v) for v in names.values()]


def bootstrap(differences, clusters, draws=400_000):
    groups = totals(differences, clusters)
    sums, sizes = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    drawn = rng.integers(len(groups), size=(draws, len(groups)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return list(np.quantile(means, [0.025, 0.975]))


def sign_flips(differences, clusters):
    sums = np.array([g.sum() for g in totals(differences, clusters)])
    if len(sums) <= 16:
        found = stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
        return float(found.pvalue), True
    if not np.all(sums == np.round(sums)):
        draws = rng.choice([-1, 1], size=(400_000, len(sums))) @ sums
        return float(np.mean(np.abs(draws) >= abs(sums.sum()) - 1e-9)), False
    whole = np.array([1.0])  # whole numbers: the distribution itself
    for size in np.abs(sums).astype(int):
        step = np.zeros(2 * size + 1)
        step[0] += 0.5
        step[-1] += 0.5
        whole = np.convolve(whole, step)
    values = np.arange(len(whole)) - len(whole) // 2
    return float(whole[np.abs(values) >= abs(sums.sum()) - 0.5].sum()), False


def clustered_case(items, clusters, kind):
    names = [""] * items if clusters == 0 else [f"c{i}" for i in rng.integers(clusters, size=items)]
    shift = dict(zip(sorted(set(names)), rng.normal(0.1, 0.3, size=len(set(names)))))
    if kind == "whole":
        values = [float(v) for v in rng.choice([-1, 0, 1], p=[0.1, 0.75, 0.15], size=items)]
    else:
        values = [round(float(rng.normal(0.05, 1) + shift[n]), 6) for n in names]
    grouping = np.unique([n or f"only {i}" for i, n in enumerate(names)], return_inverse=True)[1]
    fit = sm.OLS(np.array(values), np.ones(items)).fit(cov_type="cluster", cov_kwds={"groups": grouping})
    p, exact = sign_flips(values, names)
    return {
        "values": values,
        "clusters": names,
        "standard_error": float(fit.bse[0]),
        "interval": bootstrap(values, names),
        "p": p,
        "exact": exact,
    }


def t_case(values):
    found = stats.ttest_1samp(values, 0)
    low, high = found.confidence_interval(0.95)
    return {
        "values": values,
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)),
        "t": float(found.statistic),
        "p": float(found.pvalue),
        "interval": [float(low), float(high)],
    }


def mcnemar_power(items, discordance, difference, alpha):
    counts = np.arange(items + 1)
    power = 0.0
    for count, probability in zip(counts, stats.binom.pmf(counts, items, discordance)):
        if probability < 1e-18:
            continue
        higher = np.arange(count + 1)
        p = np.minimum(1, 2 * stats.binom.cdf(np.minimum(higher, count - higher), count, 0.5))
        share = (discordance + difference) / (2 * discordance)
        power += probability * stats.binom.pmf(higher, count, share)[p <= alpha].sum()
    return float(power)


def mcnemar_size(discordance, difference, alpha, power):
    root = stats.norm.isf(alpha / 2) * np.sqrt(discordance) + stats.norm.ppf(power) * np.sqrt(
        discordance - difference**2
    )
    items = connor = int(np.ceil((root / difference) ** 2))
    while mcnemar_power(items, discordance, difference, alpha) < power:
        items += 1
    return {"connor": connor, "items": items}


golden = {
    "generator": "tests/golden/statistics/generate.py",
    "versions": {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "statsmodels": statsmodels.__version__,
    },
    "mcnemar": [
        {"higher": h, "lower": l, "p": float(mcnemar([[0, h], [l, 0]], exact=True).pvalue)}
        for h, l in [(0, 1), (1, 0), (5, 0), (0, 6), (3, 9), (10, 10), (7, 8), (40, 61), (300, 210), (2100, 1900)]
    ],
    "counts": [
        {"higher": h, "lower": l, "items": n, "interval": resampled_counts(h, l, n)}
        for h, l, n in [(1, 0, 10), (3, 2, 5), (4, 0, 4), (12, 5, 200), (0, 7, 150), (40, 40, 1000), (310, 250, 3000)]
    ],
    "clustered": [
        clustered_case(*case)
        for case in [(8, 0, "real"), (14, 0, "whole"), (30, 6, "real"), (60, 12, "whole"), (200, 40, "real")]
        + [(166, 0, "real"), (600, 90, "whole"), (1000, 0, "whole")]
    ],
    "t": [
        t_case(values)
        for values in [[0.1, 0.3], [0.0027, 0.01, -0.004, 0.006, 0.001], [-5.0, -4.5, -6.25, -5.5, -4.75, -5.25, -6.0]]
        + [[round(float(v), 6) for v in rng.normal(0.01, 0.05, size=40)]]
    ],
    "holm": [
        {"p": p, "adjusted": [float(v) for v in multipletests(p, method="holm")[1]]}
        for p in [[0.03], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.0001, 0.02, 0.02, 1.0], [0.2, 0.9, 0.6]]
    ],
    "mcnemar_power": [
        {"items": n, "discordance": s, "difference": d, "alpha": a, "power": mcnemar_power(n, s, d, a)}
        for n, s, d, a in [(20, 1.0, 0.5, 0.05), (200, 0.1, 0.05, 0.05), (1500, 0.08, -0.02, 0.05), (3000, 0.2, 0.0, 0.05)]
        + [(4, 0.9, 0.9, 0.05), (800, 0.3, 0.06, 0.01)]
    ],
    "mcnemar_size": [
        {"discordance": s, "difference": d, "alpha": a, "power": w, **mcnemar_size(s, d, a, w)}
        for s, d, a, w in [(0.1, 0.05, 0.05, 0.8), (0.2, -0.1, 0.05, 0.9), (0.05, 0.05, 0.05, 0.8), (0.3, 0.06, 0.01, 0.8)]
    ],
    "t_size": [
        {
            "difference": d,
            "sd": s,
            "alpha": a,
            "power": w,
            "pairs": int(np.ceil(TTestPower().solve_power(effect_size=abs(d) / s, alpha=a, power=w))),
        }
        for d, s, a, w in [(0.01, 0.01, 0.05, 0.8), (-0.0027, 0.005, 0.05, 0.8), (0.02, 0.01, 0.05, 0.9)]
        + [(0.001, 0.014, 0.05, 0.8), (0.1, 0.2, 0.01, 0.8)]
    ],
}

lines = [json.dumps(key) + ": " + json.dumps(value) for key, value in golden.items()]
pathlib.Path(__file__).with_name("golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
