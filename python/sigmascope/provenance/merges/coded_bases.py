# SPDX-License-Identifier: BSD-3-Clause
"""Numbers that a merger may have had if the base at hand holds codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .number_formats import FORMATS, NumberFormat
from .sources import MatrixSource


class BaseNumbers(NamedTuple):
    """Numbers that a merger may have had where the base at hand holds codes.

    Attributes
    ----------
    words
        The numbers in words.
    number_format
        Their format.
    decoded
        True if they were decoded from the codes; False if the codes were made from them.
    rounded_factors
        True if the merger has rounded an adapter's factors to this format.
    """

    words: str
    number_format: NumberFormat
    decoded: bool
    rounded_factors: bool = False


DECODED = BaseNumbers("onto the decoded base", FORMATS["f32"], True)

BASES = (
    DECODED,
    BaseNumbers("onto the base decoded to bfloat16", FORMATS["bf16"], True),
    BaseNumbers("onto the base decoded to float16", FORMATS["f16"], True),
    BaseNumbers("from the numbers before they were quantised", FORMATS["f32"], False),
    BaseNumbers("from bfloat16 numbers before they were quantised", FORMATS["bf16"], False),
    BaseNumbers("from float16 numbers before they were quantised", FORMATS["f16"], False),
)


def iter_bases(factors: NumberFormat) -> Iterator[BaseNumbers]:
    """List all that are tried for factors in a format.

    None is preferred, since another may explain a small tensor by accident.
    """
    for base in BASES:
        yield base
        if factors.digits > base.number_format.digits:
            yield base._replace(rounded_factors=True)


def combine_bases(rows: Mapping[BaseNumbers, dict[str, Any]]) -> dict[str, Any]:
    """Return one row with the orders of several bases, each of which explains a tensor.

    Numbers before they were quantised are known within their cells only. An order with them states
    that some such numbers exist for each weight, so its replay decides nothing. If it leaves the
    base's format open, it is the same for all formats and listed once.
    """
    first = next(iter(rows.values()))
    orders: list[dict[str, Any]] = []
    listed: set[str] = set()
    for base, row in rows.items():
        for order in row["orders"]:
            kind = f"{order['order']} {base.rounded_factors and base.number_format.name}"
            if base.decoded or kind not in listed:
                misses = order["misses"] if base.decoded else []
                words = f"{order['order']}, {base.words}"
                orders.append(order | {"order": words, "misses": misses})
            if not base.decoded:
                listed.add(kind)
    return first | {"orders": orders}


def count_differences(source: MatrixSource) -> int:
    """Return how many decoded numbers of the merged file differ from those of the base."""
    plain = MatrixSource(source.base, source.merged, (), source.formats, source.height)
    return sum(
        int(np.count_nonzero((block.base != block.merged) & ~np.isnan(block.base + block.merged)))
        for _, block in plain.blocks()
    )
