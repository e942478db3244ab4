# SPDX-License-Identifier: BSD-3-Clause
"""Usage of the tensors of ONNX models, and the names that nodes give to weights.

The exporter of PyTorch names a transposed weight `onnx::MatMul_1022`. Its node has a name from the
place of the module, `/model/layers.3/self_attn/q_proj/MatMul`, which gives the name in the state
dict: `model.layers.3.self_attn.q_proj.weight`. A name is used only if it is certain: the weight is
the second input of one node, and is not used elsewhere; and the node's name ends with its operator,
without a number, which a second node of a module would have. For codes of DequantizeLinear, the
node that takes their numbers counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from sigmascope.checkpoint import Usage

from .chains import ARITHMETIC, CODES
from .uses import BLOCKS, CODED, LINEAR, Use

_ANONYMOUS = re.compile(r"onnx::\w+_\d+")
_ADDED = re.compile(r"_(?:Q\d|quant)$")

#: By operator: ends of the names of nodes. Tools of onnxruntime extend those of nodes they replace.
_ENDS: Mapping[str, tuple[str, ...]] = {
    "MatMul": ("MatMul", "MatMul_matmul_Q4"),
    "Gemm": ("Gemm",),
    "Conv": ("Conv",),
    "ConvTranspose": ("ConvTranspose",),
    "MatMulInteger": ("MatMul_quant",),
    "ConvInteger": ("Conv_quant",),
    BLOCKS: ("MatMul_Q2", "MatMul_Q4", "MatMul_Q8", "MatMulNBits"),
}


_UNUSED = Use("")


@dataclass(frozen=True, slots=True)
class NodeUsage(Usage):
    """Usage of a tensor by nodes, in `use`."""

    use: Use = _UNUSED

    def parameter(self, weight: str) -> str | None:
        """Return the name that the node gives to a weight; None if the weight has its own name."""
        place = _place(self.use.consumer or self.use)
        if place is None or not _is_of_node(weight, place):
            return None
        return f"{'.'.join(place[:-1])}.weight"


def usage_of(use: Use | None, kernel: bool, dtype: str, shape: tuple[int, ...]) -> Usage:
    """Return the usage of a tensor, with or without nodes."""
    if use is None:
        return Usage(kernel=kernel)
    coded = use.operator in CODED and _are_codes(use, dtype, shape)
    return NodeUsage(
        kernel=kernel,
        inputs_first=use.inputs_first,
        layout=use.operator if coded else "",
        settings=dict(use.settings),
        others=tuple(filter(None, use.others)),
        use=use,
    )


def _are_codes(use: Use, dtype: str, shape: tuple[int, ...]) -> bool:
    """Return whether a tensor is a weight: biases can be codes of DequantizeLinear too."""
    if use.operator not in (*LINEAR, ARITHMETIC):
        return True
    extents = dict(use.settings).get("shape", shape)
    return dtype in CODES and isinstance(extents, tuple) and len(extents) > 1


def _is_of_node(name: str, place: tuple[str, ...]) -> bool:
    """Return whether a tensor lacks its own name: it has no name, or the name of its node."""
    of_node = _ADDED.sub("", ".".join(place)) + ".weight"
    return _ANONYMOUS.fullmatch(name) is not None or name == of_node


def _place(use: Use) -> tuple[str, ...] | None:
    """Return the modules in the name of a node, followed by its operator.

    The modules of a Sequential repeat its name: `/mlp/mlp.0/MatMul` is `mlp.0`.
    """
    first, *modules = use.node.split("/")
    if first or len(modules) < 2 or not all(modules):
        return None
    if modules[-1] not in _ENDS.get(use.operator, ()):
        return None
    pairs = pairwise(modules)
    kept = [name for name, after in pairs if not re.fullmatch(re.escape(name) + r"\.\d+", after)]
    return *kept, modules[-1]
