# SPDX-License-Identifier: BSD-3-Clause
"""Arrays on a device whose bytes are copied to the host when they are read, part by part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .array_libraries import PLAIN_TENSORS, ArrayLibrary, library_of, root_module
from .device_arrays import detached, lies_on_device
from .refusals import dtype_name


class DeviceBytes:
    """The bytes of an array of torch or CuPy that does not lie in memory of the host.

    Attributes
    ----------
    dtype : str
        Name of the dtype, as "bfloat16".
    shape : tuple of int
    nbytes : int
    address : int
        Address in the memory of the device; it identifies shared arrays.
    """

    def __init__(self, array: Any, library: ArrayLibrary) -> None:
        self._array, self._library = array, library
        self.dtype, self.shape = dtype_name(array), tuple(array.shape)
        self.nbytes, self.address = int(array.nbytes), library.address(array)

    def read(self, first: int, count: int) -> NDArray[np.uint8]:
        """Copy some bytes to the host, in C order.

        An array that is not contiguous is first copied on its device.
        """
        part = self._library.bytes_of(self._array)[first : first + count]
        return np.ascontiguousarray(self._library.on_host(part))


def on_demand(source: Any) -> Any:
    """Return an array on a device as :class:`DeviceBytes`, and any other object as it is.

    Arrays of subclasses, which may keep their numbers elsewhere, are returned as they are.
    """
    library = library_of(source)
    if library is None or root_module(source) != library.name:
        return source
    if library.name == "torch":
        plain = type(source).__name__ in PLAIN_TENSORS
        on_device = plain and source.device.type not in ("cpu", "meta")
    else:
        on_device = lies_on_device(source)
    return DeviceBytes(detached(source), library) if on_device else source
