# SPDX-License-Identifier: BSD-3-Clause
"""The use of a tensor by the model in its file, which the place of the bytes does not show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of a tensor by its model, if the file states it; a default states nothing.

    A reader attaches it to a :class:`~sigmascope.checkpoint.TensorEntry`. A derived class may
    override :meth:`parameter`, and hold what the reader of a quantised layout needs.

    Attributes
    ----------
    kernel : bool
        True if the tensor is the kernel of a convolution.
    axes : str
        A letter for each axis: "i" for inputs, "o" for outputs, "s" for the positions of a kernel,
        and any other letter for an axis that numbers matrices. The matrices have outputs as rows.
    program : str
        Name of the program with this order of axes, for the description of the matrix.
    inputs_first : bool or None
        True if the rows of the stored matrix are inputs, False if they are outputs.
    layout : str
        Name of the quantised layout, if the tensor holds its codes.
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
        """Return the name that the model's state dict gives to a weight.

        It is used only if no other weight has that name.
        """
        return None
