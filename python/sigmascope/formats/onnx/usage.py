# SPDX-License-Identifier: BSD-3-Clause
"""Usage of the tensors of ONNX models, and the names that nodes give to weights.

The exporter of PyTorch names a weight that it transposes `onnx::MatMul_1022`. Its node is called by
the place of the module, `/model/layers.3/self_attn/q_proj/MatMul`, from which the name in the state
dict follows: `model.layers.3.self_attn.q_proj.weight`. A name is used only where it is certain: the
weight is the second input of one node, and used nowhere else; the node is called by its operator,
without a number, which a second one in a module would have. Of codes that DequantizeLinear takes it
is the node that has their numbers.
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
    """Usage of a tensor by nodes, which is `use`."""

    use: Use = _UNUSED

    def parameter(self, weight: str) -> str | None:
        """Return the name that the node gives to a weight of some name; None if it is its own."""
        place = _place(self.use.consumer or self.use)
        if place is None or not _is_of_node(weight, place):
            return None
        return f"{'.'.join(place[:-1])}.weight"


def usage_of(use: Use | None, kernel: bool, dtype: str, shape: tuple[int, ...]) -> Usage:
    """Return the usage of a tensor, by nodes or by none."""
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
    """Tell whether a tensor is a weight: biases are codes of DequantizeLinear, too."""
    if use.operator not in (*LINEAR, ARITHMETIC):
        return True
    extents = dict(use.settings).get("shape", shape)
    return dtype in CODES and isinstance(extents, tuple) and len(extents) > 1


def _is_of_node(name: str, place: tuple[str, ...]) -> bool:
    """Tell whether a tensor has no name of its own: none, or that of its node."""
    of_node = _ADDED.sub("", ".".join(place)) + ".weight"
    return _ANONYMOUS.fullmatch(name) is not None or name == of_node


def _place(use: Use) -> tuple[str, ...] | None:
    """Return the modules in the name of a node, and its operator at last.

    The modules of a Sequential follow its own name: `/mlp/mlp.0/MatMul` is `mlp.0`.
    """
    first, *modules = use.node.split("/")
    if first or len(modules) < 2 or not all(modules):
        return None
    if modules[-1] not in _ENDS.get(use.operator, ()):
        return None
    pairs = pairwise(modules)
    kept = [name for name, after in pairs if not re.fullmatch(re.escape(name) + r"\.\d+", after)]
    return *kept, modules[-1]
