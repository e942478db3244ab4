# SPDX-License-Identifier: BSD-3-Clause
"""A sketch of a matrix whose rows are seen once, in any order, in any number of places."""

from __future__ import annotations

import os
import time
import zlib
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from . import _core, plan
from .errors import CheckpointError, NonFiniteError
from .matrices import multiply
from .sources import matrix
from .spectra import SVD
from .threads import resolve_threads

_FORMAT = 1


class _ExactSum:
    """A sum of arrays whose bits do not depend on the order of its terms.

    Each term is rounded once to a grid at least 65 bits below its own largest entry (in steps of 16
    bits) and added as integers, which is associative: two words of 40 bits, units[0] * 2^(e - 40)
    + units[1] * 2^(e - 80) for the grid of exponent e. Up to 2**22 terms per grid.
    """

    _BITS = 40
    _STEP = 16
    _TERMS = 2**22

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.grids: dict[int, tuple[NDArray[np.int64], int]] = {}

    def add(self, term: NDArray[np.float64]) -> None:
        largest = float(np.max(np.abs(term), initial=0.0))
        if largest == 0.0:
            return
        exponent = -(-int(np.frexp(largest)[1]) // self._STEP) * self._STEP
        scaled = np.ldexp(term, self._BITS - exponent)
        upper = np.rint(scaled)
        lower = np.rint(np.ldexp(scaled - upper, self._BITS))
        self.put(exponent, np.stack([upper, lower]).astype(np.int64), 1)

    def put(self, exponent: int, units: NDArray[np.int64], terms: int) -> None:
        held, count = self.grids.get(exponent, (0, 0))
        if count + terms > self._TERMS:
            raise OverflowError(f"a sketch holds at most {self._TERMS} updates; make each larger")
        self.grids[exponent] = (held + units, count + terms)

    def merge(self, other: _ExactSum) -> None:
        for exponent, (units, terms) in other.grids.items():
            self.put(exponent, units, terms)

    def value(self) -> NDArray[np.float64]:
        total = np.zeros(self.shape)
        for exponent in sorted(self.grids):
            upper, lower = self.grids[exponent][0].astype(np.float64)
            total += np.ldexp(lower, exponent - 2 * self._BITS)
            total += np.ldexp(upper, exponent - self._BITS)
        return total


class Sketch:
    """A one-read sketch: A^T A Omega, (A Omega)^T (A Omega) and ||A||_F^2, by rows.

    Each row panel A_i adds A_i^T (A_i Omega), so that one read does what the classical randomized
    SVD takes two passes for. Sketches of parts add up: merge in any order, no bit changes.

    Parameters
    ----------
    n_cols : int
        Columns n of the matrix; its rows may be any number.
    k : int
        Singular values wanted.
    width : int, optional
        Columns of Omega, at least k; 2 k + 10 by default, at most n_cols. Errors fall with it.
    seed : int
        Of Omega; sketches merge only if n_cols, width and seed agree.

    Notes
    -----
    Memory: n_cols * width numbers of 8 bytes, three times over, and twice more for every factor of
    2^16 between the largest entries of its updates. Terms are summed as integers of 80 bits, so the
    sums are as exact as their terms. Halko, Martinsson & Tropp 2011; Yu, Gu, Li & Li 2017. For data
    that come as additive updates of single entries, and not as rows, it does not apply.
    """

    def __init__(self, n_cols: int, k: int, *, width: int | None = None, seed: int = 0) -> None:
        if n_cols < 1 or not 1 <= k <= n_cols:
            raise ValueError(f"k = {k} must be between 1 and n_cols = {n_cols}")
        self.n_cols, self.k, self.seed = int(n_cols), int(k), plan.check_seed(seed)
        self.width = min(2 * k + 10 if width is None else int(width), n_cols)
        if self.width < k:
            raise ValueError(f"width = {self.width} must be at least k = {k}")
        self.rows = 0
        self._z = _ExactSum((n_cols, self.width))
        self._y = _ExactSum((self.width, self.width))
        self._fro2 = _ExactSum(())
        self._omega: NDArray[np.float64] | None = None

    def update(self, rows: Any, *, num_threads: int | None = None) -> Self:
        """Add rows, each seen once: anything that :func:`matrix` takes, of shape (any, n_cols).

        Raises
        ------
        ValueError
            If the width differs.
        NonFiniteError
            If a row holds NaN or infinity; the sketch is then unchanged.
        OverflowError
            If squares of the entries overflow; the sketch is then unchanged.
        """
        a = matrix(rows)
        if a.shape[1] != self.n_cols:
            raise ValueError(f"rows of {a.shape[1]} columns, the sketch has n_cols = {self.n_cols}")
        if a.shape[0] == 0:
            return self
        run: dict[str, Any] = {
            "threads": resolve_threads(num_threads),
            "panel_rows": 0,
            "load_bytes": 0,
            "progress": None,
        }
        seen = _core.survey(a._native, **run)
        if seen["nan"] or seen["inf"]:
            raise NonFiniteError(
                f"the rows hold {seen['nan']} NaN and {seen['inf']} infinite entries, "
                f"the first at {seen['first_nonfinite']}"
            )
        if self._omega is None:
            self._omega = _core.gaussian(self.n_cols, self.width, self.seed, 0, 1)
        z, y = _core.product_f64(a._native, self._omega, "gram", **run)
        with np.errstate(over="ignore", invalid="ignore"):
            gram = multiply(matrix(y).T, y, num_threads=num_threads)  # NumPy's depends on threads
            terms = z, gram, np.float64(seen["fro2"])
        if not all(np.isfinite(term).all() for term in terms):
            raise OverflowError("the squares of the entries overflow double precision")
        for held, term in zip((self._z, self._y, self._fro2), terms, strict=True):
            held.add(term)
        self.rows += a.shape[0]
        return self

    def merge(self, other: Sketch) -> Self:
        """Add another sketch of other rows of the same matrix; ValueError unless it matches."""
        mine, theirs = self._key(), other._key()
        if mine != theirs:
            raise ValueError(f"sketches (n_cols, width, seed) = {mine} and {theirs} do not add up")
        for held, added in ((self._z, other._z), (self._y, other._y), (self._fro2, other._fro2)):
            held.merge(added)
        self.rows += other.rows
        return self

    def _key(self) -> tuple[int, int, int]:
        return self.n_cols, self.width, self.seed

    def svd(self, k: int | None = None) -> SVD:
        """Return the k largest singular values and right vectors, from one read of the data.

        The left vectors are not kept (U is None); a rank found below k leaves rows of zeros in Vt.
        `residuals` is the bound ||A - Q Q^T A||_F, known exactly, on every ||A v - sigma u||;
        `errors` is Weyl's bound from it.

        Raises
        ------
        ValueError
            If k exceeds the sketch's k, or nothing was seen.
        """
        k = self.k if k is None else k
        if not 1 <= k <= self.k:
            raise ValueError(f"k = {k} must be between 1 and the sketch's k = {self.k}")
        if self.rows == 0:
            raise ValueError("the sketch has seen no rows")
        started = time.perf_counter()
        # Y = A Omega = Q R with R^T R = Y^T Y, so B^T = A^T Q = Z R^-1, by eigenvectors of Y^T Y.
        lam, E = np.linalg.eigh(self._y.value())
        kept = lam > 1e-12 * max(lam[-1], 0.0)
        Bt = self._z.value() @ (E[:, kept] / np.sqrt(lam[kept]))
        V, s, _ = np.linalg.svd(Bt, full_matrices=False)
        fro2 = float(self._fro2.value())
        missing = max(fro2 - float(np.sum(s**2)), 0.0)
        found = min(k, len(s))
        values = np.zeros(k)
        values[:found] = s[:found]
        vt = np.zeros((k, self.n_cols))
        vt[:found] = V[:, :found].T
        rounding = 1e-6 * np.sqrt(fro2)
        return SVD(
            U=None,
            s=values,
            Vt=vt,
            residuals=np.full(k, np.sqrt(missing) + rounding),
            errors=np.sqrt(values**2 + missing) - values + rounding,
            converged=bool(missing <= rounding * np.sqrt(fro2)),
            passes=1,
            block=self.width,
            columns=self.width,
            precision="float64",
            method="one-read sketch",
            seed=self.seed,
            seconds=time.perf_counter() - started,
            num_threads=1,
            fro_norm=float(np.sqrt(fro2)),
            notes=(f"{self.rows} rows seen",),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sketch to a file of NumPy arrays (.npz), versioned."""
        arrays: dict[str, Any] = {
            "head": np.array([_FORMAT, self.n_cols, self.k, self.width, self.rows], np.int64),
            "seed": np.array(self.seed, np.uint64),
        }
        for name, part in (("z", self._z), ("y", self._y), ("f", self._fro2)):
            shape = (len(part.grids), 2, *part.shape)
            units = [units for units, _ in part.grids.values()]
            arrays[f"{name}_exponents"] = np.array(list(part.grids), np.int64)
            arrays[f"{name}_units"] = np.array(units, np.int64).reshape(shape)
            arrays[f"{name}_terms"] = np.array([n for _, n in part.grids.values()], np.int64)
        with open(path, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a sketch written by :meth:`save`; CheckpointError if it is not one."""
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                return cls._of({name: stored[name] for name in stored.files})
        except (ValueError, TypeError, KeyError, EOFError, BadZipFile, zlib.error) as error:
            raise CheckpointError(f"{os.fspath(path)} is not a whole sketch: {error}") from error

    @classmethod
    def _of(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        version, n_cols, k, width, rows = (int(value) for value in arrays["head"])
        if version != _FORMAT:
            raise ValueError(f"format {version}, this version reads {_FORMAT}")
        sketch = cls(n_cols, k, width=width, seed=int(arrays["seed"]))
        sketch.rows = rows
        for name, part in (("z", sketch._z), ("y", sketch._y), ("f", sketch._fro2)):
            exponents = arrays[f"{name}_exponents"].tolist()
            units, terms = arrays[f"{name}_units"], arrays[f"{name}_terms"].tolist()
            if units.shape != (len(exponents), 2, *part.shape) or units.dtype != np.int64:
                raise ValueError(f"{name}_units is {units.dtype} of shape {units.shape}")
            for exponent, word, count in zip(exponents, units, terms, strict=True):
                part.put(int(exponent), word, int(count))
        return sketch

    def __getstate__(self) -> dict[str, Any]:
        """Leave Omega out of pickles: it is a function of the seed."""
        return {**self.__dict__, "_omega": None}

    def __repr__(self) -> str:
        """Shape and what was seen."""
        return f"Sketch({self.rows} rows x {self.n_cols}, k={self.k}, width={self.width})"
