# SPDX-License-Identifier: BSD-3-Clause
"""Merges with a fault, which no verification may confirm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from .mergers import Case, generator

Merge = Callable[..., Tensor]


def with_weight(case: Case, factor: float) -> Case:
    return replace(case, weights=[factor * case.weights[0], *case.weights[1:]])


def scaled(factor: float) -> Callable[[Case, Merge, int], Tensor]:
    def merge_scaled(case: Case, merge: Merge, seed: int) -> Tensor:
        wrong = with_weight(case, factor)
        return merge(wrong.base, wrong.donors, wrong.weights)

    return merge_scaled


def without_scale(case: Case, merge: Merge, seed: int) -> Tensor:
    """Forget alpha / r."""
    a, b, scale = case.donors[0]
    return merge(case.base, [(a, b, 1.0 if scale != 1 else 2.0), *case.donors[1:]], case.weights)


def by_root_of_rank(case: Case, merge: Merge, seed: int) -> Tensor:
    """Take alpha / sqrt(r) where the file says alpha / r."""
    a, b, scale = case.donors[0]
    return merge(case.base, [(a, b, scale * len(a) ** 0.5), *case.donors[1:]], case.weights)


def transposed(case: Case, merge: Merge, seed: int) -> Tensor:
    """Add the transpose of a square change."""
    a, b, scale = case.donors[0]
    turned = (b.T.contiguous(), a.T.contiguous(), scale)
    return merge(case.base, [turned, *case.donors[1:]], case.weights)


def half_of_the_rows(case: Case, merge: Merge, seed: int) -> Tensor:
    merged = merge(case.base, case.donors, case.weights)
    half = len(merged) // 2
    return torch.cat([merged[:half], case.base[half:].to(merged.dtype)])


def another_base(case: Case, merge: Merge, seed: int) -> Tensor:
    """Merge into a base of which two numbers in a hundred differ by about a hundredth."""
    g = generator(seed + 1)
    noise = 0.01 * torch.randn(case.base.shape, generator=g)
    chosen = torch.rand(case.base.shape, generator=g) < 0.02
    base = (case.base.float() * (1 + noise * chosen)).to(case.base.dtype)
    return merge(base, shifted(case, base), case.weights)


def another_donor(case: Case, merge: Merge, seed: int) -> Tensor:
    """Merge a change that nobody names, of a hundredth of the base."""
    g = generator(seed + 2)
    size = 0.01 * case.base.float().std()
    base = (case.base.float() + size * torch.randn(case.base.shape, generator=g)).to(
        case.base.dtype
    )
    return merge(base, shifted(case, base), case.weights)


def shifted(case: Case, base: Tensor) -> list[object]:
    """Return donors whose changes are those of the case from another base."""
    if case.adapters:
        return list(case.donors)
    shift = base.float() - case.base.float()
    return [(model.float() + shift).to(model.dtype) for model in case.donors]


def slerp(case: Case, merge: Merge, seed: int) -> Tensor:
    """Interpolate on a sphere, in float32 (mergekit)."""
    a, b, t = case.base.float(), case.donors[0].float(), case.weights[0]
    cosine = (a / a.norm() * (b / b.norm())).sum()
    if cosine.abs() > 0.9995:
        return a * (1 - t) + b * t
    angle = torch.arccos(cosine)
    return (torch.sin(angle * (1 - t)) * a + torch.sin(angle * t) * b) / torch.sin(angle)


def trimmed(case: Case, merge: Merge, seed: int) -> Tensor:
    """Keep the larger half of each change, and signs that agree (TIES; Yadav et al., 2023)."""
    changes = torch.stack([model.float() - case.base.float() for model in case.donors])
    sizes = changes.abs().flatten(1)
    thresholds = sizes.kthvalue(sizes.shape[1] // 2, dim=1).values[:, None, None]
    changes = changes * (changes.abs() > thresholds)
    weighted = torch.tensor(case.weights)[:, None, None] * changes
    agree = torch.sign(weighted) == torch.sign(weighted.sum(0))
    total = (torch.tensor(case.weights)[:, None, None] * agree * (changes != 0)).sum(0)
    return case.base.float() + (weighted * agree).sum(0) / torch.where(total == 0, 1.0, total)


def dropped(case: Case, merge: Merge, seed: int) -> Tensor:
    """Drop half of each change at random and double the rest (DARE; Yu et al., 2023)."""
    g, merged = generator(seed + 3), case.base.float()
    for model, weight in zip(case.donors, case.weights, strict=True):
        kept = torch.rand(model.shape, generator=g) < 0.5
        merged = merged + weight * 2 * kept * (model.float() - case.base.float())
    return merged


FAULTS: dict[str, Callable[[Case, Merge, int], Tensor]] = {
    "x 1.001": scaled(1.001),
    "x 1.01": scaled(1.01),
    "missing": scaled(0.0),
    "twice": scaled(2.0),
    "sign": scaled(-1.0),
    "half of the rows": half_of_the_rows,
    "another base": another_base,
    "another donor": another_donor,
}
OF_ADAPTERS = {
    "without scale": without_scale,
    "by the root of the rank": by_root_of_rank,
    "transposed": transposed,
}
OF_MODELS = {"slerp": slerp, "trimmed": trimmed, "dropped": dropped}
