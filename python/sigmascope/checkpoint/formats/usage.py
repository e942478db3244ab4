# SPDX-License-Identifier: BSD-3-Clause
"""Usage of a tensor by the model in its file, which the place of its bytes does not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of a tensor by its model, as far as the file tells; a default says nothing.

    A reader attaches it to a :class:`~sigmascope.checkpoint.TensorEntry`. A derived class may
    answer :meth:`parameter`, and hold what the reader of a quantised layout needs.

    Attributes
    ----------
    kernel : bool
        A convolution has this tensor as its kernel.
    axes : str
        A letter for each axis: "i" of inputs, "o" of outputs, "s" of the places of a kernel, any
        other letter of an axis along which matrices lie. The matrices then have outputs as rows.
    program : str
        Name of the program that orders axes so, for the description of the matrix.
    inputs_first : bool or None
        True if the rows of the stored matrix are inputs, False if they are outputs.
    layout : str
        Name of the quantised layout whose codes the tensor has.
    settings : mapping
        Settings of that layout, for its reader.
    others : tuple of str
        Names of the tensors that belong to these codes.

    Examples
    --------
    >>> Usage(axes="io", program="Keras").axes
    'io'
    """

    kernel: bool = False
    axes: str = ""
    program: str = ""
    inputs_first: bool | None = None
    layout: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    others: tuple[str, ...] = ()

    def parameter(self, weight: str) -> str | None:
        """Return the name in a state dict that the model gives to a weight of some name.

        It is used only where no other weight has that name.
        """
        return None
