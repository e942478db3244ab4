# SPDX-License-Identifier: BSD-3-Clause
"""Matrices with a special structure: zero, constant, rank deficient, or with copies of rows.

Most measures of such a matrix mean nothing, or do not exist. Summaries therefore list these
matrices before they state medians.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope._tables.schema import Row
from sigmascope._words.text import counted, short
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import Moments, Spectrum
from sigmascope.spectra.statistics.entries import VectorStatistics

from .coincidences import are_coincidences

_BLOCK_BYTES = 1 << 23
"""Bytes of the rows that are decoded at a time to compare them."""

_DEFICIENT = 1e-6
"""Fraction of the largest singular value below which a value counts as 0, as in the rank."""


def mask_statistics(a: Matrix) -> VectorStatistics | None:
    """Return the statistics of a mask of 0 and -inf entries; None for any other matrix."""
    seen = VectorStatistics()
    for block in iter_blocks(a):
        if not np.all((block == 0) | np.isneginf(block)):
            return None
        seen.add(block)
    return seen if seen.is_mask else None


def iter_blocks(a: Matrix) -> Iterator[NDArray[np.float64]]:
    """Yield the entries of a matrix, a few rows at a time."""
    rows = max(1, _BLOCK_BYTES // (8 * a.shape[1]))
    for start in range(0, a.shape[0], rows):
        yield np.asarray(a[start : start + rows], np.float64).ravel()


class Structure(NamedTuple):
    """Special structure of a matrix, from its entries.

    Attributes
    ----------
    constant
        The value of all entries, if they are equal; else None.
    copied_rows, copied_columns
        Numbers of rows and of columns that equal an earlier one, entry by entry; 0 for a constant
        matrix.
    passes
        Reads of the matrix that were needed.
    rows_coincide, columns_coincide
        True if coincidences explain the copies, given the number of distinct entries; see
        :func:`sigmascope.scanning.coincidences.are_coincidences`.
    """

    constant: float | None = None
    copied_rows: int = 0
    copied_columns: int = 0
    passes: int = 0
    rows_coincide: bool = True
    columns_coincide: bool = True

    @property
    def reported_copies(self) -> tuple[int, int]:
        """Numbers of copied rows and columns; 0 for copies that coincidences explain."""
        rows = 0 if self.rows_coincide else self.copied_rows
        return rows, 0 if self.columns_coincide else self.copied_columns


def structure(a: Matrix, moments: Moments) -> Structure:
    """Determine exactly whether a matrix is constant, and count copies of rows and columns.

    Parameters
    ----------
    a : Matrix, shape (m, n)
        A matrix of finite numbers.
    moments : Moments
        Its moments, with the norms of rows and columns.

    Notes
    -----
    Equal rows have bitwise equal norms, since norms are summed in one order. Sorting m + n norms
    shows whether any two are equal. If they all differ, the matrix is not read. Otherwise it is
    decoded once more, 8 MiB at a time, and rows and columns with equal norms are compared by hashes
    of 128 bits. -0 counts as 0. If there are copies, the first lines of the matrix are read once
    more, to see whether coincidences explain them.
    """
    if moments.min == moments.max:
        return Structure(constant=float(moments.min))
    assert moments.row_norms is not None
    rows, columns = _alike(moments.row_norms), _alike(moments.column_norms)
    if not len(rows) and not len(columns):
        return Structure()
    if a.native.column_major:  # decode along the contiguous direction
        of_columns, of_rows = _copies(a.T, columns, rows)
    else:
        of_rows, of_columns = _copies(a, rows, columns)
    counts = len(of_rows), len(of_columns)
    coincide = are_coincidences(a.T, of_rows), are_coincidences(a, of_columns)
    return Structure(None, *counts, 1, *coincide)


def _alike(norms: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the indices of the norms that occur more than once."""
    _, place, count = np.unique(norms, return_inverse=True, return_counts=True)
    return np.flatnonzero(count[place] > 1)


def _copies(
    a: Matrix, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which rows and which columns among these indices equal an earlier one."""
    m, n = a.shape
    height = max(_BLOCK_BYTES // (8 * n), 1)
    of_rows: list[bytes] = []
    of_columns = [blake2b(digest_size=16) for _ in columns]
    for start in range(0, m, height):
        in_block = rows[(rows >= start) & (rows < start + height)]
        if not len(in_block) and not len(columns):
            continue
        numbers = np.asarray(a[start : start + height], dtype=np.float64) + 0.0  # -0 becomes 0
        for i in in_block - start:
            of_rows.append(blake2b(numbers[i].tobytes(), digest_size=16).digest())
        for j, digest in zip(columns, of_columns, strict=True):
            digest.update(np.ascontiguousarray(numbers[:, j]).tobytes())
    return _repeated(rows, of_rows), _repeated(columns, [each.digest() for each in of_columns])


def _repeated(indices: NDArray[np.intp], digests: list[bytes]) -> NDArray[np.intp]:
    """Return the indices whose digest occurred before."""
    seen: set[bytes] = set()
    repeated = []
    for index, digest in zip(indices, digests, strict=True):
        if digest in seen:
            repeated.append(index)
        seen.add(digest)
    return np.asarray(repeated, dtype=np.intp)


def in_words(entries: Structure, spectrum: Spectrum) -> str | None:
    """Describe the special structure of a matrix in words; None for an ordinary matrix."""
    if entries.constant is not None:
        zero = entries.constant == 0.0
        return "all zero" if zero else f"constant {short(entries.constant)}"
    rank, full = certain_rank(spectrum), min(spectrum.shape)
    parts = [] if rank is None or rank == full else [f"rank {rank}" + f" of {full}" * (rank > 1)]
    copies = zip(entries.reported_copies, ("row", "column"), strict=True)
    words = [counted(count, noun) for count, noun in copies if count]
    parts += [f"{' and '.join(words)} equal to others"] if words else []
    return "; ".join(parts) or None


def certain_rank(spectrum: Spectrum) -> int | None:
    """Return the numerical rank if it is certain; else None.

    The numerical rank counts the values above both a millionth of the largest and the accuracy
    limit of the method. Without that measure, the two largest values can show only a rank of 1.
    """
    if "numerical_rank" in spectrum:
        rank = spectrum["numerical_rank"]
        return int(rank.value) if rank.error == 0.0 else None
    top, errors = spectrum.top, spectrum.top_errors
    one = len(top) > 1 and top[1] + errors[1] <= _DEFICIENT * top[0]
    return 1 if one else None


def structure_columns(entries: Structure, spectrum: Spectrum) -> Row:
    """Return the columns of a scan that describe the structure of a matrix."""
    rows, columns = entries.reported_copies
    return {
        "structure": in_words(entries, spectrum),
        "copied_rows": rows,
        "copied_columns": columns,
        "passes": spectrum.passes + entries.passes,
    }
