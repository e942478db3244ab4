# SPDX-License-Identifier: BSD-3-Clause
"""Weights of codes in groups: which tensors form one, as the configuration of the model says.

A layout is never taken from names alone: `quant_method` names it, or the operator of an ONNX model,
and names and shapes of the tensors must be those of that layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from sigmascope.checkpoint.configuration import Configuration
from sigmascope.checkpoint.formats.entries import TensorEntry
from sigmascope.checkpoint.formats.onnx_chains import ARITHMETIC
from sigmascope.checkpoint.formats.onnx_uses import BLOCKS, EXPERTS, LINEAR, TABLE, Use
from sigmascope.checkpoint.reading import MAX_SLICES
from sigmascope.checkpoint.views import Extent, Located, Reading, View, dimensions

from .arithmetic import arithmetic_weight
from .bitsandbytes import byte_rows, four_bit_weight
from .compressed import byte_weight, packed_weight
from .experts import experts_weight
from .floats import modelopt_weight, packed_bytes
from .gptq import auto_round_weight, awq_weight, gptq_weight
from .hqq import CODES as HQQ_CODES
from .hqq import hqq_weight
from .layouts import Part
from .linear import TABLES, linear_weight, table_weight
from .matmul_nbits import blocks_weight
from .mlx import mlx_weight
from .modules import GroupedWeight, LayoutError, Module
from .nvfp4_stacks import STACKS, stacked_weight
from .onnxruntime import CODES as ONNX_CODES
from .onnxruntime import PRODUCER as ONNX_PRODUCER
from .onnxruntime import onnx_weight
from .torchao import CODES as TORCHAO_CODES
from .torchao import torchao_weight

Reader = Callable[[Module], GroupedWeight]

#: By `quant_method`: ends of the names of codes, their dtypes, and who interprets them.
_READERS: Mapping[str, tuple[tuple[str, tuple[str, ...], Reader], ...]] = {
    "gptq": ((".qweight", ("I32", "U32"), gptq_weight),),
    "awq": ((".qweight", ("I32", "U32"), awq_weight),),
    "auto-round": ((".qweight", ("I32", "U32"), auto_round_weight),),
    "intel/auto-round": ((".qweight", ("I32", "U32"), auto_round_weight),),
    "compressed-tensors": (
        (".weight_packed", ("I32",), packed_weight),
        (".weight_packed", ("U8",), packed_bytes),
        (".weight", ("I8",), byte_weight),
    ),
    "modelopt": (
        (".weight", ("U8",), modelopt_weight),
        *((name, ("U8",), partial(stacked_weight, name)) for name in STACKS),
    ),
    "bitsandbytes": ((".weight", ("U8",), four_bit_weight), (".weight", ("I8",), byte_rows)),
    "mlx": ((".weight", ("U32",), mlx_weight),),
    "torchao": ((TORCHAO_CODES, ("I8", "U8", "I32", "F8_E4M3", "F8_E5M2"), torchao_weight),),
    ONNX_PRODUCER: ((ONNX_CODES, ("I8", "U8"), onnx_weight),),
    "hqq": ((HQQ_CODES, ("U8", "I32", "F32", "F16", "BF16"), hqq_weight),),
}

#: By operator of an ONNX model that takes codes.
_OPERATORS: Mapping[str, Reader] = {
    BLOCKS: blocks_weight,
    **dict.fromkeys(LINEAR, linear_weight),
    ARITHMETIC: arithmetic_weight,
    TABLE: table_weight,
    EXPERTS: experts_weight,
}


class Grouped(NamedTuple):
    """Weights by the names of their codes, and the status of all tensors that belong to them."""

    weights: Mapping[str, GroupedWeight]
    parts: Mapping[str, Part]


def grouped_weights(tensors: Mapping[str, Located], config: Configuration) -> Grouped:
    """Find the weights of codes in groups, and those whose layout is not as it should be.

    Parameters
    ----------
    tensors : mapping
        All tensors of the checkpoint by name.
    config : Configuration
        The settings of the model.
    """
    weights: dict[str, GroupedWeight] = {}
    parts: dict[str, Part] = {}
    method = _method(tensors, config)
    for name, tensor in tensors.items():
        for module, read in _candidates(tensor, tensors, method, config):
            try:
                weight = read(module)
                if weight.name != name and weight.name in tensors:
                    raise LayoutError(f"there is a {weight.name}, too")
            except LayoutError as error:
                use = tensor.entry.use
                of_node = use is not None and _OPERATORS.get(use.operator) is read
                layout = use.operator if use is not None and of_node else method
                parts[name] = Part("unreadable", f"quantised weight ({layout}): {error}")
                others = () if use is None else use.others
                parts |= {each: Part.of(name, "part") for each in others if each}
                continue
            weights[name] = weight
            parts |= {each: Part.of(name, "scale") for each in weight.scales}
            parts |= {each: Part.of(name, "part") for each in weight.others}
    return Grouped(weights, parts)


def _candidates(
    tensor: Located, tensors: Mapping[str, Located], method: str, config: Configuration
) -> Iterator[tuple[Module, Reader]]:
    """List who may interpret a tensor as codes: by the node of an ONNX model, or by the method."""
    name, use = tensor.entry.name, tensor.entry.use
    if use is not None and use.operator in _OPERATORS and _are_codes(tensor.entry, use):
        yield Module(name, tensors, dict(use.settings)), _OPERATORS[use.operator]
        return
    for ending, dtypes, read in _READERS.get(method, ()):
        if name.endswith(ending) and tensor.entry.dtype in dtypes:
            yield Module(name.removesuffix(ending), tensors, config.quantisation), read


def _are_codes(entry: TensorEntry, use: Use) -> bool:
    """Tell whether a tensor is a weight: biases are codes of DequantizeLinear, too."""
    if use.operator not in (*LINEAR, ARITHMETIC):
        return True
    shape = dict(use.settings).get("shape", entry.shape)
    return entry.dtype in TABLES and isinstance(shape, tuple) and len(shape) > 1


def _method(tensors: Mapping[str, Located], config: Configuration) -> str:
    """Return the `quant_method` of the configuration, or the producer that an ONNX model states."""
    if config.method is not None:
        return config.method
    producers = {tensor.header.metadata.get("producer_name") for tensor in tensors.values()}
    return ONNX_PRODUCER if ONNX_PRODUCER in producers else ""


def grouped_reading(weight: GroupedWeight) -> Reading:
    """Interpret the codes of a weight as its matrix."""
    if weight.slices is None:
        return Reading("matrix", (_view(weight, None),), weight.how)
    if weight.slices > MAX_SLICES:
        why = f"stack of {weight.slices} slices, above {MAX_SLICES}"
        return Reading("unreadable", reason=why)
    views = tuple(_view(weight, index) for index in range(weight.slices))
    how = f"stack of {weight.slices} matrices {dimensions(views[0].shape)}; {weight.how}"
    return Reading("stack", views, how)


def _view(weight: GroupedWeight, index: int | None) -> View:
    codes, nbytes = weight.codes, weight.packing.nbytes
    rows, columns = weight.packing.shape
    extent = Extent(
        codes.header,
        codes.entry.offset + (index or 0) * nbytes,
        (rows, columns if weight.columns is None else weight.columns),
        "f32",
        nbytes,
        transposed=weight.transposed,
        groups=lambda reading: weight.load(reading, index or 0),
    )
    name = weight.name if index is None else f"{weight.name}[{index}]"
    return View(name, codes.entry.name, ((extent,),), index)
