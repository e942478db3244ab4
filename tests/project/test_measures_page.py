# SPDX-License-Identifier: BSD-3-Clause
"""docs/measures.md has a line for every measure, and for nothing else."""

from __future__ import annotations

from docs.extensions.measures import definitions, names_of
from tests.support.measures import of_scans


def test_the_page_has_every_measure() -> None:
    assert definitions().keys() == of_scans() | {"quantiles"}


def test_a_cell_names_several_measures() -> None:
    assert names_of("`energy_rank_50`, `_90`") == ["energy_rank_50", "energy_rank_90"]
