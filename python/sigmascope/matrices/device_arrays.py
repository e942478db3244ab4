# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of other libraries that lie on a CUDA device, by DLPack or the CUDA array interface.

Libraries write to their arrays on streams. When an array is passed on, its library makes the stream
that takes it wait for these writes. Here each import takes the array on a stream of its own, and
the host waits for that stream. Every stream may then read the array.
"""

from __future__ import annotations

from contextlib import nullcontext
from types import ModuleType
from typing import Any

import numpy as np

from sigmascope._host.cuda_devices import cuda_devices
from sigmascope._host.native import _core, cuda
from sigmascope.errors import DeviceError, DeviceMemoryError

from .array_libraries import ArrayLibrary, library_of, root_module
from .dtypes import array_dtype
from .refusals import MASKED, not_two

COPIED = "copy it to the host first (x.cpu() of torch, x.get() of CuPy)"
"""Advice, in messages, for an array that cannot be used on its device."""

_CUDA, _MANAGED = 2, 13
"""DLPack's numbers of the types of devices whose arrays are not copied."""

_DLPACK = (1, 0)
"""Version of the requested capsules; older ones are accepted too."""


def lies_on_device(source: Any) -> bool:
    """Return whether an array is in the memory of a CUDA device; pinned memory is on the host."""
    if hasattr(source, "__dlpack_device__"):
        return source.__dlpack_device__()[0] in (_CUDA, _MANAGED)
    return hasattr(source, "__cuda_array_interface__")


def on_host(source: Any) -> Any:
    """Copy an array on a CUDA device to the host; return any other array as it is.

    Raises
    ------
    TypeError
        If the array on a device is neither CuPy's nor torch's.
    """
    if not lies_on_device(source):
        return source
    library = library_of(source)
    if library is None:
        raise TypeError(
            f"a {type(source).__name__} on a GPU cannot be copied to the host; arrays of CuPy and "
            "torch can"
        )
    return library.on_host(source)


def detached(source: Any) -> Any:
    """Return a tensor without gradients and with a pending minus applied; DLPack drops both.

    torch marks views like ``x.conj().imag`` as negated, and exports them without the minus.
    """
    source = source.detach() if getattr(source, "requires_grad", False) else source
    negated = callable(getattr(source, "is_neg", None)) and source.is_neg()
    return source.resolve_neg() if negated else source


def exported(source: Any, **options: Any) -> Any:
    """Return a DLPack capsule of an array, in the version that its library knows."""
    try:
        return source.__dlpack__(max_version=_DLPACK, **options)
    except TypeError:
        return source.__dlpack__(**options)


def from_device(source: Any, codes: str | None = None) -> _core.Matrix:
    """Make a matrix of an array on a CUDA device, after all pending writes to it.

    Parameters
    ----------
    source : array
        See :func:`lies_on_device`.
    codes : str, optional
        The dtype of the codes in an array of unsigned integers.

    Raises
    ------
    DeviceError
        If there is no such device, or the memory of the array is not on it.
    TypeError, ValueError
        If the array has a mask, a dtype that a matrix cannot have, or not 2 dimensions.
    """
    source = detached(source)
    if len(shape := tuple(getattr(source, "shape", ()))) > 2:
        raise ValueError(f"a matrix has 2 dimensions, {not_two(shape)}")
    index = _index_of(source)
    module = _usable(index, f"an array of {root_module(source)}")
    with module.ImportStream(index) as stream:
        if hasattr(source, "__dlpack__"):
            capsule = _exported_on(index, source, stream)
            native = _core.Matrix.from_dlpack(capsule, source, codes or "")
        else:
            interface = source.__cuda_array_interface__
            native = _from_interface(source, interface, index, codes)
            _follow(interface, stream)
        stream.wait()
    module.check_memory(native)
    return native


def await_writers(native: _core.Matrix) -> None:
    """Wait for all pending writes to the arrays of a matrix on a device."""
    index = native.device
    if index is None:
        return
    with _usable(index, "a matrix").ImportStream(index) as stream:
        for source in native.sources_on_device:
            if hasattr(source, "__dlpack__"):
                _exported_on(index, source, stream)
            else:
                _follow(source.__cuda_array_interface__, stream)
        stream.wait()


def new_array(
    library: ArrayLibrary, index: int, rows: int, cols: int, f64: bool
) -> tuple[Any, int]:
    """Return a row-major array of a library on a device, ready for writes, and its address.

    Raises
    ------
    DeviceMemoryError
        If there is no memory for it.
    """
    try:
        array = library.empty((rows, cols), "float64" if f64 else "float32", index)
    except library.out_of_memory as error:
        what = f"{library.name} cannot allocate {rows} x {cols} numbers on cuda:{index}"
        raise DeviceMemoryError(f"{what}: {error}") from error
    from_device(array)  # earlier work on its memory may still be running
    return array, library.address(array)


def _index_of(source: Any) -> int:
    if hasattr(source, "__dlpack_device__"):
        return int(source.__dlpack_device__()[1])
    interface = source.__cuda_array_interface__
    address = interface["data"][0]
    module = cuda()
    return module.device_at(address) if module and address and all(interface["shape"]) else 0


def _usable(index: int, what: str) -> ModuleType:
    """Return the module that computes on a device; DeviceError if it cannot be used."""
    where = f"{what} lies on cuda:{index}, which is not available"
    try:
        names = cuda_devices()
    except DeviceError as error:
        raise DeviceError(f"{where}: {error}; {COPIED}") from error
    if f"cuda:{index}" not in names:
        raise DeviceError(f"{where} (available: {', '.join(names)}); {COPIED}")
    module = cuda()
    assert module is not None
    return module


def _exported_on(index: int, source: Any, stream: Any) -> Any:
    library = library_of(source)
    with library.on(index) if library else nullcontext():  # torch exports from the current device
        return exported(source, stream=stream.handle)


def _follow(interface: dict[str, Any], stream: Any) -> None:
    if (writer := interface.get("stream")) is not None:
        stream.follow(writer)


def _from_interface(
    source: Any, interface: dict[str, Any], index: int, codes: str | None
) -> _core.Matrix:
    """Make a matrix of a ``__cuda_array_interface__`` of version 2 or 3; it is only read."""
    if interface["version"] < 2:
        raise ValueError(
            f"__cuda_array_interface__ has version {interface['version']}; version 2 or newer is "
            "needed"
        )
    if interface.get("mask") is not None:
        raise TypeError(MASKED)
    shape, typestr = interface["shape"], interface["typestr"]
    try:
        dtype = np.dtype(typestr)
    except TypeError as error:
        message = f"typestr {typestr!r} is not a dtype of NumPy; pass the array by DLPack"
        raise TypeError(message) from error
    kind = array_dtype(dtype, codes)
    if len(shape) != 2:
        raise ValueError(f"a matrix has 2 dimensions, {not_two(shape)}")
    strides = interface.get("strides") or (shape[1] * dtype.itemsize, dtype.itemsize)
    address = interface["data"][0]
    return _core.Matrix.from_device(address, source, index, kind, *shape, *strides)
