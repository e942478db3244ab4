# SPDX-License-Identifier: BSD-3-Clause
"""Share of numbers of a density that lie within their errors, over fifteen spectra.

    python benchmarks/experiments/coverage_of_bounds.py
    python benchmarks/experiments/coverage_of_bounds.py --seeds 22 --spectra 22    # 118,000

The matrices are diagonal. Their spectra are noise, with spikes or without, powers, exponentials,
gaps, steps and heavy tails. First 32 quantiles each of `spectral_density`, order 1024, with 6 to 18
steps, 8 and 32 probes, and so many seeds. Then those of `spectrum(effort="density", k=32)`, order
2048, with the measures of a spectrum, whose true values come from effort "exact". The script prints
the shares of numbers within one, two and four errors, the worst, and the median error over the
value.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sigmascope import spectral_density, spectrum

Array = NDArray[np.float64]
FRACTIONS = np.linspace(0.03, 0.97, 32)


def spectra(n: int) -> dict[str, Array]:
    """Return n singular values by the name of their spectrum, in any order."""
    rng = np.random.default_rng(5)
    i, falling = np.arange(1, n + 1), np.linspace(1.0, 0.0, n)
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


Checked = tuple[str, Array, Array, Array]
"""Name; numbers, their errors, and the truth."""


def of_densities(seeds: int) -> Iterator[Checked]:
    """Yield the quantiles that a density estimates."""
    n = 1024
    place = (1 - FRACTIONS) * (n - 1)
    for name, values in spectra(n).items():
        truth = np.interp(place, np.arange(n), np.sort(values)[::-1])
        for steps in (6, 8, 11, 14, 18):
            for probes in (8, 32):
                for seed in range(seeds):
                    density = spectral_density(
                        np.diag(values).astype(np.float32), passes=steps, probes=probes, seed=seed
                    )
                    result, errors = density.quantiles(1.0 - (place + 0.5) / n)
                    estimated = place + 0.5 > len(density.quadrature.converged) + 1
                    what = f"{name}, {steps} steps, {probes} probes, seed {seed}"
                    yield what, result[estimated], errors[estimated], truth[estimated]


def of_spectra(seeds: int) -> Iterator[Checked]:
    """Yield the quantiles, and the measures, of whole spectra that have a density."""
    n = 2048
    place = (1 - FRACTIONS) * (n - 1)
    for name, values in spectra(n).items():
        A = np.diag(values).astype(np.float32)
        exact = spectrum(A, effort="exact", k=32)
        truth = np.interp(place, np.arange(n), exact.values)
        for seed in range(seeds):
            result = spectrum(A, effort="density", k=32, seed=seed)
            if result.density is None:
                break  # every value was cheaper
            quantiles, errors = result.density.quantiles(1.0 - (place + 0.5) / n)
            estimated = place + 0.5 > len(result.density.quadrature.converged) + 1
            what = f"{name}, seed {seed}"
            yield what, quantiles[estimated], errors[estimated], truth[estimated]
            pairs = [(result[key], exact[key]) for key in exact if key in result]
            known = [(a.value, a.error, b.value) for a, b in pairs if a.error]
            numbers, bounds, true = np.array(known).T
            yield f"{what}: measures", numbers, bounds, true


def print_shares(title: str, checked: Iterator[Checked]) -> None:
    ratios, sizes, worst, where = [], [], 0.0, ""
    for what, numbers, errors, truth in checked:
        ratio = np.abs(numbers - truth) / errors
        ratios.append(ratio)
        sizes.append(errors[truth != 0] / np.abs(truth[truth != 0]))
        if len(ratio) and ratio.max() > worst:
            worst, where = float(ratio.max()), what
    all_ratios, all_sizes = np.concatenate(ratios), np.concatenate(sizes)
    print(f"{title}: {len(all_ratios)} numbers")
    for times in (1, 2, 4):
        beyond = int(np.sum(all_ratios > times))
        share = 100 * (1 - beyond / len(all_ratios))
        print(f"  within {times} error(s): {share:.2f} %; {beyond} beyond")
    print(f"  the worst: {worst:.2f} errors, {where}")
    print(f"  median error over the value: {np.median(all_sizes):.2g}")


def main() -> None:
    arguments = argparse.ArgumentParser(description="Coverage of the errors of densities.")
    arguments.add_argument("--seeds", type=int, default=3, help="of every density")
    arguments.add_argument("--spectra", type=int, default=1, help="seeds of every spectrum")
    given = arguments.parse_args()
    print_shares("quantiles of densities", of_densities(given.seeds))
    print_shares("quantiles and measures of spectra", of_spectra(given.spectra))


if __name__ == "__main__":
    main()
