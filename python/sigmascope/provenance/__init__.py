# SPDX-License-Identifier: BSD-3-Clause
"""Provenance: what weights alone show about the origin of a checkpoint."""

from __future__ import annotations

from .applying import Application, apply
from .checking import Check, check
from .lineages import (
    Fingerprint,
    LayerLink,
    LayerOutcome,
    Lineage,
    Lineages,
    Match,
    Outcome,
    fingerprint,
    group_by_lineage,
    lineage,
)
from .merges import Decision, Verification, Weight, verify

__all__ = [
    "Application",
    "Check",
    "Decision",
    "Fingerprint",
    "LayerLink",
    "LayerOutcome",
    "Lineage",
    "Lineages",
    "Match",
    "Outcome",
    "Verification",
    "Weight",
    "apply",
    "check",
    "fingerprint",
    "group_by_lineage",
    "lineage",
    "verify",
]
