# SPDX-License-Identifier: BSD-3-Clause
"""Heads of attention cut by explicit loops over raw arrays, as the models' code does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HEADS, WIDTH = 4, 8


class Heads(NamedTuple):
    """Heads of q, k and v, outputs as rows, and of o, inputs as columns."""

    q: list[Array]
    k: list[Array]
    v: list[Array]
    o: list[Array]

    def circuits(self) -> tuple[list[Array], list[Array]]:
        """Return every W_q^T W_k and every W_o W_v as dense matrices."""
        qk, ov = [], []
        for head in range(len(self.q)):
            group = head * len(self.k) // len(self.q)
            qk.append(self.q[head].T @ self.k[group])
            ov.append(self.o[head] @ self.v[group])
        return qk, ov


def rows(array: Array, count: int | None = None) -> list[Array]:
    """Cut rows into heads, the first `count` of them."""
    heads = [array[h * WIDTH : (h + 1) * WIDTH] for h in range(len(array) // WIDTH)]
    return heads[:count]


def columns(array: Array) -> list[Array]:
    """Cut columns into heads."""
    return [head.T for head in rows(array.T)]


def separate(t: Mapping[str, Array], at: str, o: str = "o_proj") -> Heads:
    """q, k and v are matrices of their own."""
    q, k, v = (rows(t[f"{at}.{part}_proj.weight"]) for part in "qkv")
    return Heads(q, k, v, columns(t[f"{at}.{o}.weight"]))


def in_turn(qkv: Array, o: Array, keys: int) -> Heads:
    """All heads of q, then of k, then of v."""
    heads = rows(qkv)
    return Heads(heads[:HEADS], heads[HEADS : HEADS + keys], heads[HEADS + keys :], columns(o))


def by_groups(qkv: Array, o: Array, keys: int) -> Heads:
    """For each key head its queries, its key, its value."""
    q, k, v = [], [], []
    heads, size = rows(qkv), HEADS // keys
    for group in range(keys):
        start = group * (size + 2)
        q += heads[start : start + size]
        k.append(heads[start + size])
        v.append(heads[start + size + 1])
    return Heads(q, k, v, columns(o))


def latent(t: Mapping[str, Array], at: str, *, low_rank_q: bool) -> Heads:
    """DeepSeek: k and v of all heads from one latent vector, a rotated key for all heads."""
    down, up = t[f"{at}.kv_a_proj_with_mqa.weight"], t[f"{at}.kv_b_proj.weight"]
    to_latent = np.diag(t[f"{at}.kv_a_layernorm.weight"]) @ down[:8]
    rotated = down[8:]
    if low_rank_q:
        inner = np.diag(t[f"{at}.q_a_layernorm.weight"]) @ t[f"{at}.q_a_proj.weight"]
        queries = t[f"{at}.q_b_proj.weight"] @ inner
    else:
        queries = t[f"{at}.q_proj.weight"]
    k, v = [], []
    for head in range(HEADS):
        of_head = up[head * 12 : (head + 1) * 12]  # 4 rows of k, 8 of v
        k.append(np.vstack([of_head[:4] @ to_latent, rotated]))
        v.append(of_head[4:] @ to_latent)
    return Heads(rows(queries), k, v, columns(t[f"{at}.o_proj.weight"]))


def gained(heads: Heads, gain: Array) -> Heads:
    """Multiply the columns of q, k and v by the gains of the norm before attention."""
    q, k, v = ([head @ np.diag(gain) for head in part] for part in heads[:3])
    return Heads(q, k, v, heads.o)


def normed(heads: Heads, of_q: Array, of_k: Array) -> Heads:
    """Multiply the rows of q and k by the gains of their norms: of a head, or of all heads."""
    of_q, of_k = np.ravel(of_q), np.ravel(of_k)
    q = [np.diag(_of_head(of_q, i)) @ head for i, head in enumerate(heads.q)]
    k = [np.diag(_of_head(of_k, i)) @ head for i, head in enumerate(heads.k)]
    return Heads(q, k, heads.v, heads.o)


def _of_head(gains: Array, head: int) -> Array:
    return gains if len(gains) == WIDTH else gains[head * WIDTH : (head + 1) * WIDTH]
