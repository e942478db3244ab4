# SPDX-License-Identifier: BSD-3-Clause
"""The table of quantised layouts of codes in groups, by name.

Another package registers its layouts as entry points of the group "sigmascope.quantised_layouts",
each with the name of a layout, and the name of a `QuantisedLayout`::

    [project.entry-points."sigmascope.quantised_layouts"]
    toy = "some_package.toy:LAYOUT"

A registered layout is imported only for a checkpoint that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple

from sigmascope._host.registered import RegistrationError, iter_registered
from sigmascope.errors import CheckpointError

from .bitsandbytes import byte_rows, four_bit_weight
from .compressed import byte_weight, packed_weight
from .floats import modelopt_weight, packed_bytes
from .gptq import auto_round_weight, awq_weight, gptq_weight
from .hqq import CODES as HQQ_CODES
from .hqq import hqq_weight
from .mlx import mlx_weight
from .modules import GroupedWeight, Module
from .nvfp4_stacks import STACKS, stacked_weight
from .torchao import CODES as TORCHAO_CODES
from .torchao import torchao_weight

GROUP = "sigmascope.quantised_layouts"
"""Group of the entry points of other packages."""

WeightReader = Callable[[Module], GroupedWeight]


class QuantisedLayout(NamedTuple):
    """A layout of weights that are stored as codes in groups, each with its own scale.

    Attributes
    ----------
    name : str
        Name of the layout in messages.
    codes : tuple of (str, tuple of str, callable)
        Ending of the names of codes, their dtypes, and a function that returns the `GroupedWeight`
        of a `Module`, or raises `LayoutError`. An empty ending means tensors whose usage names the
        layout; empty dtypes then mean any dtype.

    Examples
    --------
    >>> QuantisedLayout("mlx", ((".weight", ("U32",), mlx_weight),)).reader_of("q.weight", "U32")[0]
    'q'
    """

    name: str
    codes: tuple[tuple[str, tuple[str, ...], WeightReader], ...]

    def reader_of(
        self, name: str, dtype: str, used: bool = False
    ) -> tuple[str, WeightReader] | None:
        """Return the module of a tensor and the function that reads it; None if it has no codes.

        Parameters
        ----------
        name, dtype : str
            Name and dtype of the tensor.
        used : bool
            Whether the usage of the tensor names the layout.
        """
        for ending, dtypes, read in self.codes:
            if ending and name.endswith(ending) and dtype in dtypes:
                return name.removesuffix(ending), read
            if used and not ending and (not dtypes or dtype in dtypes):
                return name, read
        return None


#: By `quant_method`: ends of the names of codes, their dtypes, and who interprets them.
_CODES: Mapping[str, tuple[tuple[str, tuple[str, ...], WeightReader], ...]] = {
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
    "hqq": ((HQQ_CODES, ("U8", "I32", "F32", "F16", "BF16"), hqq_weight),),
}
BUILT_IN = {name: QuantisedLayout(name, codes) for name, codes in _CODES.items()}
"""The layouts of this package, by `quant_method`."""


@lru_cache(maxsize=256)
def layout_of(name: str) -> QuantisedLayout | None:
    """Return the built-in or registered layout with a name; None if there is no such layout.

    Raises
    ------
    CheckpointError
        The entry point of that name cannot be imported, or names something that is not a
        `QuantisedLayout`; or two packages register that name.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    points = [each for each in iter_registered(GROUP, "layout") if each.point.name == name]
    if not points:
        return None
    point, *others = points
    if others:
        raise CheckpointError(f"{others[0].label} has the name of {point.label}")
    try:
        layout = point.load()
    except RegistrationError as error:
        raise CheckpointError(str(error)) from error.__cause__
    if not isinstance(layout, QuantisedLayout):
        raise CheckpointError(f"{point.label} is a {type(layout).__name__}, not a QuantisedLayout")
    return layout
