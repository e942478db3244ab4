# SPDX-License-Identifier: BSD-3-Clause
"""Share of quantiles that lie within their errors: fifteen spectra, 32 quantiles of each.

    python benchmarks/experiments/coverage_of_bounds.py

The matrices are diagonal, of order 1024; the densities have 6 to 18 steps, 8 and 32 probes, three
seeds. The spectra are noise, with spikes or without, powers, exponentials, gaps, steps and heavy
tails. The script prints the shares of quantiles within one, two and four errors, and the median
error over the value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sigmascope import spectral_density

Array = NDArray[np.float64]
ORDER = 1024
FRACTIONS = np.linspace(0.03, 0.97, 32)


def spectra() -> dict[str, Array]:
    """Return singular values by the name of their spectrum, in any order."""
    rng = np.random.default_rng(5)
    n, i, falling = ORDER, np.arange(1, ORDER + 1), np.linspace(1.0, 0.0, ORDER)
    square, tall = (
        np.linalg.svd(rng.standard_normal((m, n)) / np.sqrt(m), compute_uv=False)
        for m in (n, 3 * n)
    )
    few, many = square.copy(), tall.copy()
    few[:64], many[:200] = 6 * i[:64] ** -0.3, 6.4 * i[:200] ** -0.3
    return {
        "noise": square,
        "noise, 3:1": tall,
        "noise, 64 spikes": few,
        "noise, 3:1, 200 spikes": many,
        "power 1/2": i**-0.5,
        "power 1": 1.0 / i,
        "exponential": np.exp(-6 * i / n),
        "uniform": np.linspace(1, 0.01, n),
        "gap at half": np.where(i <= n // 2, 1 + 0.2 * falling, 0.3 + 0.1 * falling),
        "gap at a third": np.where(i <= n // 3, 1 + 0.05 * falling, np.linspace(0.5, 0.05, n)),
        "three steps": np.where(i <= n // 4, 3.0, np.where(i <= n // 2, 2.0, 1.0)) + falling / 1000,
        "an eighth above": np.where(i <= n // 8, 1.0, np.linspace(0.05, 0.0005, n)),
        "two bulks": np.concatenate([tall[::2] * 3, tall[1::2]]),
        "lognormal": np.exp(rng.standard_normal(n)),
        "Student": np.abs(rng.standard_t(2.5, n)),
    }


def main() -> None:
    place = (1 - FRACTIONS) * (ORDER - 1)
    ratios, sizes = [], []
    for values in spectra().values():
        sigma = np.sort(values)[::-1]
        truth = np.interp(place, np.arange(ORDER), sigma)
        for steps in (6, 8, 11, 14, 18):
            for probes in (8, 32):
                for seed in range(3):
                    density = spectral_density(
                        np.diag(values).astype(np.float32), passes=steps, probes=probes, seed=seed
                    )
                    result, errors = density.quantiles(1.0 - (place + 0.5) / ORDER)
                    estimated = place + 0.5 > len(density.quadrature.converged) + 1
                    ratios.append((np.abs(result - truth) / errors)[estimated])
                    sizes.append((errors / truth)[estimated])
    all_ratios, all_sizes = np.concatenate(ratios), np.concatenate(sizes)
    for times in (1, 2, 4):
        print(f"within {times} error(s): {100 * np.mean(all_ratios <= times):.2f} %")
    print(f"median error over the value: {np.median(all_sizes):.2g}")


if __name__ == "__main__":
    main()
