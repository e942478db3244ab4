# SPDX-License-Identifier: BSD-3-Clause
"""DLPack capsules of both versions, laid out here anew from the specification."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NAMES = {False: b"dltensor", True: b"dltensor_versioned"}

CODES = {
    "int64": (0, 64),
    "uint8": (1, 8),
    "uint16": (1, 16),
    "float64": (2, 64),
    "float32": (2, 32),
    "float16": (2, 16),
    "bfloat16": (4, 16),
    "complex64": (5, 64),
    "float8_e4m3fn": (10, 8),
    "float8_e5m2": (12, 8),
}
"""Type code and bits of dtypes."""

Counted = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", Counted))


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", Counted),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


@dataclass(frozen=True)
class Exported:
    """A tensor as a capsule describes it: strides in elements, or None for row-major ones."""

    address: int
    device: tuple[int, int]
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    byte_offset: int = 0
    flags: int = 0
    major: int = 1


_alive: dict[int, tuple[Any, ...]] = {}
"""Tensors of capsules that were not given back, by their addresses."""

_deleters: list[Any] = []
"""All of them: a function of ctypes must not go while it runs."""

_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_api.PyCapsule_IsValid.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _destroyed(capsule: int) -> None:
    """Give back the tensor of a capsule that nobody took."""
    for versioned, name in NAMES.items():
        if _api.PyCapsule_IsValid(capsule, name):
            at = _api.PyCapsule_GetPointer(capsule, name)
            kind = _Versioned if versioned else _Managed
            kind.from_address(at).deleter(at)


def capsule_of(tensor: Exported, versioned: bool, given_back: Callable[[], None]) -> Any:
    """Make a capsule; its deleter calls `given_back`, and may be called once."""
    code, bits = CODES[tensor.dtype]
    dims = len(tensor.shape)
    shape = (ctypes.c_int64 * dims)(*tensor.shape)
    strides = None if tensor.strides is None else (ctypes.c_int64 * dims)(*tensor.strides)
    managed = _Versioned() if versioned else _Managed()

    def delete(at: int) -> None:
        del _alive[at]
        given_back()

    _deleters.append(Counted(delete))
    managed.deleter = _deleters[-1]
    managed.tensor = _Tensor(
        tensor.address, *tensor.device, dims, code, bits, 1, shape, strides, tensor.byte_offset
    )
    if isinstance(managed, _Versioned):
        managed.major, managed.flags = tensor.major, tensor.flags
    at = ctypes.addressof(managed)
    _alive[at] = (managed, shape, strides)
    return _api.PyCapsule_New(at, NAMES[versioned], ctypes.cast(_destroyed, ctypes.c_void_p))
