# SPDX-License-Identifier: BSD-3-Clause
"""Singular vectors in safetensors files, one file for each matrix of a scan or a comparison.

The file of a matrix is `<folder>/<name>.safetensors`, with the characters of its name that cannot
stand in a path escaped as in URLs. It has the tensors `<name>.U` (m, k), `<name>.S` (k) and
`<name>.Vt` (k, n), and the bounds `<name>.errors` and `<name>.residuals` (k, sigma units); in a
comparison `<name>.before.U` and so on. Its metadata have the seed of the search.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.safetensors_output import write_safetensors
from sigmascope.spectra import SVD

_LONGEST = 180
"""Longest name of a file in bytes; a longer one ends with a digest of the rest."""

_DTYPES = {"float32": "F32", "float64": "F64"}


def vectors_folder(path: str | os.PathLike[str] | None, *, make: bool = True) -> str | None:
    """Make the folder, if there is none and `make` is True; return its absolute path.

    Raises
    ------
    OSError
        If it cannot be made, or is not a folder.
    """
    if path is None:
        return None
    folder = Path(path).absolute()
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    return os.fspath(folder)


def vectors_path(folder: str, name: str) -> Path:
    """Return the path of the file with the vectors of one matrix."""
    stem = quote(name, safe="[]")
    if len(stem) > _LONGEST:
        stem = stem[: _LONGEST - 17] + "-" + hashlib.sha256(name.encode()).hexdigest()[:16]
    return Path(folder) / f"{stem}.safetensors"


def save_vectors(folder: str, name: str, svds: Mapping[str, SVD | None]) -> None:
    """Write the triplets of one matrix, or of the matrices of a pair by their group.

    Raises
    ------
    OSError
        If the file cannot be written; a file that was there stays as it was.
    """
    tensors: dict[str, tuple[str, NDArray[np.floating]]] = {}
    seeds = set()
    for group, svd in svds.items():
        if svd is None or svd.U is None or svd.Vt is None:
            continue
        start = f"{name}.{group}." if group else f"{name}."
        parts = {"U": svd.U, "S": svd.s, "Vt": svd.Vt, "errors": svd.errors}
        parts["residuals"] = svd.residuals
        tensors |= {start + part: (_DTYPES[x.dtype.name], x) for part, x in parts.items()}
        seeds.add(svd.seed)
    write_safetensors(vectors_path(folder, name), tensors, seeds)
