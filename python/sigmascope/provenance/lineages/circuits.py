# SPDX-License-Identifier: BSD-3-Clause
"""Features of attention heads that survive a rotation, a permutation of units, and new bases."""

from __future__ import annotations

import numpy as np

from .blocks import Doubles, Floats, unit_rows
from .features import Features, Layer, multiply_rows
from .reading import MatrixReader

LEAST_RATIO = 1e-6
"""Singular values below this share of the largest count as this share: float32 resolves no less."""


def singular_values_of_product(left: Floats, right: Floats) -> Doubles:
    """Return the singular values of leftᵀ @ right, descending, from Gram matrices of their rows.

    Parameters
    ----------
    left, right : array (r, d)
        Factors with few rows; the product is d x d of rank r.

    Returns
    -------
    array (r,), float64
    """
    left, right = left.astype(np.float64), right.astype(np.float64)
    values, vectors = np.linalg.eigh(multiply_rows(left, left).astype(np.float64))
    root = vectors * np.sqrt(np.maximum(values, 0))
    inner = root.T @ multiply_rows(right, right).astype(np.float64) @ root
    squares = np.linalg.eigvalsh((inner + inner.T) / 2)[::-1]
    result: Doubles = np.sqrt(np.maximum(squares, 0))
    return result


def log_circuit(left: Floats, right: Floats) -> Doubles:
    """Return the logarithms of the singular values of a circuit."""
    values = singular_values_of_product(left, right)
    largest = float(values[0])
    if not largest > 0:
        return np.zeros_like(values)
    return np.log(np.maximum(values, LEAST_RATIO * largest))


def read_heads(reader: MatrixReader, layer: Layer) -> Features | None:
    """Return the spectra of W_qᵀ W_k and W_o W_v of each group of heads of a layer.

    Queries that share a key and a value move together: the things are groups. Norms are folded.
    None if a role is missing, or there is only one group.
    """
    names = reader.table.heads.get(layer, {})
    counts = [len(names.get(role, ())) for role in "qkvo"]
    queries, groups = counts[0], counts[1]
    uneven = groups != counts[2] or queries != counts[3] or groups < 2 or queries % groups
    if uneven or reader.width is None:
        return None
    gain = reader.gain(layer, "attention")
    each = queries // groups
    spectra = []
    for group in range(groups):
        key = _head(reader, names["k"][group], "k", gain)
        value = _head(reader, names["v"][group], "v", gain)
        parts = []
        for head in range(group * each, (group + 1) * each):
            query = _head(reader, names["q"][head], "q", gain)
            output = _head(reader, names["o"][head], "o", None)
            if not query.shape[1] == key.shape[1] == value.shape[1] == output.shape[1]:
                return None
            parts += [log_circuit(query, key), log_circuit(output, value)]
        spectra.append(np.concatenate(parts))
    rows = np.array(spectra)
    rows -= rows.mean(axis=0)
    deviation = rows.std(axis=0)
    rows *= np.where(deviation > 1e-9, 1 / np.where(deviation > 1e-9, deviation, 1), 0)
    features = unit_rows(rows).astype(np.float32)
    return Features(groups, np.arange(groups), {"circuits": features})


def _head(reader: MatrixReader, name: str, role: str, gain: Floats | None) -> Floats:
    """Return one head with the residual stream as columns."""
    matrix = reader.checkpoint[name]
    upright = reader.rows_are_outputs(name, role != "o")
    matrix = matrix if upright == (role != "o") else matrix.T
    rows = reader.read_rows(matrix, np.arange(matrix.shape[0]))
    return rows if gain is None else rows * gain
