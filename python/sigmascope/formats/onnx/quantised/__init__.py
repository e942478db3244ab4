# SPDX-License-Identifier: BSD-3-Clause
"""Quantised layouts of ONNX models, one for each operator that takes codes.

Their entry points have the names of the operators, which the usage of a tensor states.
"""

from __future__ import annotations

from sigmascope.extension.quantised import QuantisedLayout

from .arithmetic import arithmetic_weight
from .blocks import blocks_weight
from .bytes_by_name import CODES, bytes_weight
from .experts import experts_weight
from .linear import linear_weight, table_weight

BYTES = QuantisedLayout("onnx.quantize", ((CODES, ("I8", "U8"), bytes_weight),))
BLOCKS = QuantisedLayout("com.microsoft.MatMulNBits", (("", (), blocks_weight),))
LINEAR = QuantisedLayout("DequantizeLinear", (("", (), linear_weight),))
LINEAR_OF_MICROSOFT = QuantisedLayout("com.microsoft.DequantizeLinear", (("", (), linear_weight),))
ARITHMETIC = QuantisedLayout("Cast and Mul", (("", (), arithmetic_weight),))
TABLE = QuantisedLayout("com.microsoft.GatherBlockQuantized", (("", (), table_weight),))
EXPERTS = QuantisedLayout("com.microsoft.QMoE", (("", (), experts_weight),))
