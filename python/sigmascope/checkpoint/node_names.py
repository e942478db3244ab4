# SPDX-License-Identifier: BSD-3-Clause
"""Names of weights of ONNX models, by the nodes that use them.

The exporter of PyTorch names a weight that it transposes `onnx::MatMul_1022`. Its node is called by
the place of the module, `/model/layers.3/self_attn/q_proj/MatMul`, from which the name in the state
dict follows: `model.layers.3.self_attn.q_proj.weight`. Roles come from that name; the tensor keeps
its own. It is read with outputs as rows, as that parameter is, so that the two compare. A name is
used only where it is certain: the weight is the second input of one node, and used nowhere else;
the node is called by its operator, without a number, which a second one in a module would have; and
no other weight has that name. Of codes that DequantizeLinear takes it is the node that has their
numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from .formats.onnx_uses import BLOCKS, Use
from .views import Located, Reading

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


def certain_names(originals: Mapping[str, str], tensors: Mapping[str, Located]) -> dict[str, str]:
    """Return the names that nodes give to weights, by the names of the tensors.

    Parameters
    ----------
    originals : mapping
        The name of the original weight of every tensor, which is its own unless it is quantised.
    tensors : mapping
        All tensors.
    """
    names: dict[str, str] = {}
    for name, located in tensors.items():
        use = located.entry.use
        place = None if use is None else _place(use.consumer or use)
        if place is not None and _is_of_node(originals[name], place):
            names[name] = f"{'.'.join(place[:-1])}.weight"
    counts = Counter(names.values())
    taken = set(originals.values())
    return {name: new for name, new in names.items() if counts[new] == 1 and new not in taken}


def inputs_first(tensors: Mapping[str, Located]) -> dict[str, bool | None]:
    """Return whether the rows of a stored tensor are inputs, of those that nodes use."""
    uses = {name: located.entry.use for name, located in tensors.items()}
    return {name: use.inputs_first for name, use in uses.items() if use is not None}


def as_parameters(
    readings: Mapping[str, Reading], names: Mapping[str, str], tensors: Mapping[str, Located]
) -> dict[str, Reading]:
    """Read matrices whose names nodes give with outputs as rows.

    Parameters
    ----------
    readings, tensors
        Those of all tensors.
    names : mapping
        The names, as `certain_names` returns them.

    Returns
    -------
    readings : dict
        All of them.
    """
    done, stored = dict(readings), inputs_first(tensors)
    for name, parameter in names.items():
        reading = readings[name]
        if reading.status != "matrix" or not stored[name]:
            continue
        (view,) = reading.views
        ((extent,),) = view.grid
        turned = replace(view, grid=((replace(extent, transposed=not extent.transposed),),))
        how = f"read as {parameter}, outputs as rows"
        how = "; ".join(filter(None, (reading.how, how)))
        done[name] = replace(reading, views=(turned,), how=how)
    return done


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
