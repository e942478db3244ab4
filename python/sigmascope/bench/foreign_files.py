# SPDX-License-Identifier: BSD-3-Clause
"""Matrices in files of SciPy, MATLAB and NumPy's archives, as dense arrays (needs SciPy)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {
    ".mtx": "a Matrix Market file",
    ".mat": "a MATLAB file",
    ".npz": "a NumPy archive or a SciPy sparse matrix",
}


def read_dense(path: Path, name: str | None) -> NDArray[Any]:
    """Read a matrix; a sparse one becomes dense, since most of the libraries take no other.

    Parameters
    ----------
    path : Path
        A file with a suffix of `KINDS`.
    name : str or None
        Name of the variable or the array; None if the file has only one.

    Raises
    ------
    ImportError
        If SciPy is missing.
    ValueError
        If the file is not of its kind, or has no real matrix of that name, or has several.
    """
    try:
        import scipy.io
        import scipy.sparse as sparse
    except ImportError:
        raise ImportError(
            f"{path} is {KINDS[path.suffix]}, which SciPy reads: pip install scipy, or save the "
            "matrix as a .npy file with numpy.save"
        ) from None
    try:
        if path.suffix == ".mtx":
            arrays = {path.stem: scipy.io.mmread(path)}
        elif path.suffix == ".mat":
            arrays = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
        else:
            arrays = _archive(path, sparse)
    except (ValueError, TypeError, NotImplementedError, OSError, EOFError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is not {KINDS[path.suffix]} that SciPy reads: {error}") from error
    matrices = {k: v for k, v in arrays.items() if np.ndim(v) == 2 or sparse.issparse(v)}
    chosen = _chosen(path, name, matrices)
    dense = chosen.toarray() if sparse.issparse(chosen) else np.asarray(chosen)
    if dense.dtype.kind not in "iubf":
        raise ValueError(f"{path} holds {dense.dtype} numbers, but a benchmark needs real ones")
    return dense if dense.dtype.kind == "f" else dense.astype(np.float64)


def _archive(path: Path, sparse: Any) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        if "format" in arrays:
            return {path.stem: sparse.load_npz(path)}
        return dict(arrays)


def _chosen(path: Path, name: str | None, matrices: dict[str, Any]) -> Any:
    """Return the matrix of a name, or the only one."""
    there = ", ".join(matrices) or "no matrix"
    if name is None and len(matrices) != 1:
        raise ValueError(f"{path} holds {there}: name one with --tensor")
    if name is not None and name not in matrices:
        raise ValueError(f"{path} holds no matrix {name!r}, but {there}")
    return matrices[name or next(iter(matrices))]
