# SPDX-License-Identifier: BSD-3-Clause
"""Names for packages that read a layout of quantised weights; see docs/extending.md.

:func:`stored_codes` gives the codes and scales of a matrix of a checkpoint.
"""

from __future__ import annotations

from sigmascope.checkpoint.quantised.modules import (
    FLOATS,
    GroupedWeight,
    LayoutError,
    Module,
    block_groups,
    by_size,
    read_groups,
    read_integers,
    read_numbers,
)
from sigmascope.checkpoint.quantised.registry import QuantisedLayout
from sigmascope.checkpoint.quantised.scales import HEADERS
from sigmascope.checkpoint.quantised.tables import (
    E4M3,
    E5M2,
    SIGNED_BYTES,
    SIGNED_NIBBLES,
    dense,
    integers,
    natural,
    unpacked,
    unpacked_bytes,
)
from sigmascope.checkpoint.stored_codes import StoredCodes, stored_codes
from sigmascope.checkpoint.views import Located, dimensions
from sigmascope.matrices.groups import GroupCodes, Packing

__all__ = [
    "E4M3",
    "E5M2",
    "FLOATS",
    "HEADERS",
    "SIGNED_BYTES",
    "SIGNED_NIBBLES",
    "GroupCodes",
    "GroupedWeight",
    "LayoutError",
    "Located",
    "Module",
    "Packing",
    "QuantisedLayout",
    "StoredCodes",
    "block_groups",
    "by_size",
    "dense",
    "dimensions",
    "integers",
    "natural",
    "read_groups",
    "read_integers",
    "read_numbers",
    "stored_codes",
    "unpacked",
    "unpacked_bytes",
]
