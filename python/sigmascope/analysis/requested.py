# SPDX-License-Identifier: BSD-3-Clause
"""Measures on request, which read the matrix once more or compute its spectrum again.

alpha_farms
    The Hill exponent over sub-matrices of one aspect ratio
    (:func:`sigmascope.spectra.statistics.alpha_farms`), at any effort. There are at most 8 square
    sub-matrices, of side min(m, n, 1024), and every singular value of each is computed. They lie
    along the diagonal of the matrix, one in each eighth of the way; the seed chooses the position.
    The transpose has the same sub-matrices, transposed.
randomized_distance
    The Wasserstein-1 distance to the spectrum of the matrix with its entries in random order
    (:func:`sigmascope.spectra.statistics.randomized_distance`), at efforts "density" and "exact".
    It takes two permutations, each analysed like the matrix itself. The decoded entries are kept in
    memory for it, 4 bytes each (8 in float64), and read once more.
correlation_traps
    The number of values above the noise edge in the same two permutations
    (:func:`sigmascope.spectra.statistics.correlation_traps`). Permutations have no correlations, so
    these values come from single large entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.devices import CPU
from sigmascope._execution.memory import Need, values_need
from sigmascope._execution.options import CallOptions
from sigmascope._execution.passes import MIB, PassLayout
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix
from sigmascope.solvers.svdvals import EveryValue

REQUESTED = ("alpha_farms", "randomized_distance", "correlation_traps")
"""Their names."""

PERMUTING = ("randomized_distance", "correlation_traps")
"""The requested measures that need the spectra of permuted matrices."""

SIDE, PARTS, PERMUTATIONS = 1024, 8, 2

GENERATORS = 3 * MIB
"""Bytes that importing `numpy.random` takes, and nothing else here imports it: 2.4 MiB measured."""

_CHUNK = 8 * MIB


def check_measures(
    measures: str | Sequence[str] | None, known: Sequence[str] = REQUESTED
) -> tuple[str, ...]:
    """Return the requested names, each once and in a fixed order; ValueError for another name."""
    requested = (measures,) if isinstance(measures, str) else tuple(measures or ())
    if not requested:  # most calls
        return requested
    for name in requested:
        if name not in known:
            raise ValueError(f"measures must be among {', '.join(known)}, not {name!r}")
    return tuple(name for name in known if name in requested)


def windows(shape: tuple[int, int], seed: int) -> list[tuple[slice, slice]]:
    """Return rows and columns of the square sub-matrices of :func:`farms`, each once."""
    side = min(*shape, SIDE)
    bits = np.random.PCG64(seed).random_raw(PARTS)  # a stream that no NumPy will change
    way = (np.arange(PARTS) + (bits >> np.uint64(11)) * 2.0**-53) / PARTS
    starts = {
        tuple(min(int(share * (extent - side + 1)), extent - side) for extent in shape)
        for share in way
    }
    return [(slice(i, i + side), slice(j, j + side)) for i, j in sorted(starts)]


def farms(a: Matrix, seed: int, call: CallOptions) -> tuple[list[NDArray[np.float64]], float]:
    """Compute every singular value of the sub-matrices, and the floor of their resolution.

    The CPU does it, whatever the device of the call: the parts are small.
    """
    parts = (a[rows, columns] for rows, columns in windows(a.shape, seed))
    every = [EveryValue("reference").compute(part, replace(call, device=CPU)) for part in parts]
    spectra = [values.scaled(unit) for values, unit in every]
    return [part.values for part in spectra], max(part.floor for part in spectra)


def farms_need(layout: PassLayout) -> Need:
    """Return the need of :func:`farms`: one sub-matrix at a time."""
    side = min(*layout.shape, SIDE)
    part = replace(layout, shape=(side, side))
    return values_need(part).plus(PARTS * 8 * side + int(layout.stored * side**2))


def permutations(a: Matrix, seed: int, threads: int) -> Iterator[Matrix]:
    """Yield the matrix with its entries in one random order after another, in the same memory.

    Entries are ordered along the longer side: a matrix and its transpose give the same.
    """
    numbers = _decoded(a, threads)
    # The legacy generator, since its streams are frozen; a seed of 64 bits through SeedSequence.
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    for _ in range(PERMUTATIONS):
        random.shuffle(numbers.reshape(-1))
        yield matrix(numbers)


def permutation_need(layout: PassLayout, width: int) -> Need:
    """Return the need of gathering the entries, of `width` bytes each."""
    m, n = layout.shape
    most = max(_CHUNK, n * 8)
    return Need(m * n * width, int(2 * most + most / 8 * layout.stored))


def _decoded(a: Matrix, threads: int) -> NDArray[Any]:
    """Decode a matrix a few rows at a time; the longer side first."""
    m, n = a.shape
    numbers = np.empty((max(m, n), min(m, n)), dtype=a.precision)
    height = max(_CHUNK // (8 * n), 1)
    for i in range(0, m, height):
        part = a[i : i + height].native
        rows = part.decode_f64(threads) if numbers.itemsize == 8 else part.decode_f32(threads)
        if m >= n:
            numbers[i : i + height] = rows
        else:
            numbers[:, i : i + height] = rows.T
    return numbers
