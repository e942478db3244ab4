# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of tensors of two checkpoints, and of weights with the changes of an adapter."""

from __future__ import annotations

from sigmascope._tables.provenance import identities
from sigmascope.adapters.pairing import Changes, changes, delta_of
from sigmascope.adapters.scannable import Scannable, as_scannable
from sigmascope.checkpoint.elements import Elements
from sigmascope.checkpoint.record import TensorRecord
from sigmascope.comparing.members import Member, Pair, members
from sigmascope.comparing.pairing import linked

__all__ = [
    "Changes",
    "Elements",
    "Member",
    "Pair",
    "Scannable",
    "TensorRecord",
    "as_scannable",
    "changes",
    "delta_of",
    "identities",
    "linked",
    "members",
]
