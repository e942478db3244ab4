# SPDX-License-Identifier: BSD-3-Clause
"""Modules in place of CuPy, cupyx and cuML, with NumPy's arithmetic and CuPy's refusals.

An array is not an array of NumPy, which does not convert it. cuSOLVER's routines work on the
addresses that they are given and overwrite their operand, as the real ones do.
"""

from __future__ import annotations

import ctypes
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import scipy.sparse.linalg

WORK_BYTES = (48, 16)
"""Bytes on the device and on the host that a routine of cuSOLVER asks for."""


class CUDARuntimeError(RuntimeError):
    """The error of cupy.cuda.runtime."""


class DeviceArray:
    """An array of CuPy."""

    def __init__(self, host: np.ndarray[Any, Any]) -> None:
        self.host = host
        self.dtype, self.shape = host.dtype, host.shape
        self.data = SimpleNamespace(ptr=host.ctypes.data)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    @property
    def T(self) -> DeviceArray:
        return DeviceArray(self.host.T)

    def __getitem__(self, key: Any) -> DeviceArray:
        return DeviceArray(np.asarray(self.host[key]))

    def __truediv__(self, other: DeviceArray) -> DeviceArray:
        return DeviceArray(self.host / other.host)

    def __lshift__(self, bits: int) -> DeviceArray:
        return DeviceArray(self.host << bits)

    def __rshift__(self, bits: int) -> DeviceArray:
        return DeviceArray(self.host >> bits)

    def __int__(self) -> int:
        return int(self.host)

    def astype(self, dtype: Any, copy: bool = True) -> DeviceArray:
        return DeviceArray(self.host.astype(dtype, copy=copy))

    def view(self, dtype: Any) -> DeviceArray:
        return DeviceArray(self.host.view(dtype))

    def get(self) -> np.ndarray[Any, Any]:
        return self.host.copy()

    def set(self, host: np.ndarray[Any, Any]) -> None:
        self.host[:] = host


def svd(A: DeviceArray, full_matrices: bool) -> tuple[DeviceArray, ...]:
    assert A.dtype.name in ("float32", "float64")
    U, s, Vt = np.linalg.svd(A.host, full_matrices=full_matrices)
    return DeviceArray(U), DeviceArray(s), DeviceArray(Vt)


def svds(A: DeviceArray, k: int, **options: Any) -> tuple[DeviceArray, ...]:
    """SciPy's, under the conditions of cupyx.scipy.sparse.linalg.svds."""
    assert A.dtype.name in ("float32", "float64")
    assert k < min(A.shape)
    ncv = options.get("ncv")
    assert ncv is None or k + 1 < ncv < min(A.shape)
    start = np.random.random(min(A.shape)).astype(A.dtype)  # noqa: NPY002 - the global generator
    U, s, Vt = scipy.sparse.linalg.svds(A.host, k, v0=start, **options)
    return DeviceArray(U), DeviceArray(s), DeviceArray(Vt)


class TruncatedSVD:
    """The class of cuml.decomposition."""

    def __init__(self, n_components: int, output_type: str, algorithm: str = "full") -> None:
        assert output_type == "cupy"
        assert algorithm in ("full", "jacobi")
        self.k = n_components

    def fit_transform(self, A: DeviceArray) -> DeviceArray:
        U, s, Vt = (part.host for part in svd(A, full_matrices=False))
        k = self.k
        self.singular_values_, self.components_ = DeviceArray(s[:k]), DeviceArray(Vt[:k])
        return DeviceArray(U[:, :k] * s[:k])


# -------------------------------------------------------------------------------------- cuSOLVER


def columns(pointer: Any, rows: Any, count: int, stride: Any, kind: Any) -> np.ndarray[Any, Any]:
    """A matrix by columns at an address."""
    scalar = (ctypes.c_float, ctypes.c_double)[kind.value]
    memory = (scalar * (stride.value * count)).from_address(pointer.value)
    return np.ctypeslib.as_array(memory).reshape(count, stride.value).T[: rows.value]


class Cusolver:
    """The routines of the library; `status` is what they return, `info` what they write."""

    def __init__(self) -> None:
        self.status, self.info = 0, 0
        self.calls: list[str] = []

    def _buffer_size(self, on_device: Any, on_host: Any) -> int:
        on_device._obj.value, on_host._obj.value = WORK_BYTES
        return 0

    def cusolverDnXgesvdr_bufferSize(self, *arguments: Any) -> int:
        assert len(arguments) == 23
        return self._buffer_size(*arguments[-2:])

    def cusolverDnXgesvdp_bufferSize(self, *arguments: Any) -> int:
        assert len(arguments) == 20
        return self._buffer_size(*arguments[-2:])

    def cusolverDnXgesvdr(self, *arguments: Any) -> int:
        jobu, jobv, m, n, k, p, _, *operands = arguments[2:21]
        assert (jobu.value, jobv.value) == (ord("S"), ord("S"))
        assert k.value + p.value <= n.value <= m.value
        self.calls.append("gesvdr")
        return self._decompose((m, n, k.value, m.value), operands, arguments[21:])

    def cusolverDnXgesvdp(self, *arguments: Any) -> int:
        jobz, econ, m, n, *operands = arguments[2:18]
        assert (jobz.value, econ.value) == (1, 1)
        assert n.value <= m.value
        self.calls.append("gesvdp")
        perturbation = arguments[23]
        perturbation._obj.value = 1e-12
        return self._decompose((m, n, n.value, n.value), operands, arguments[18:23])

    def _decompose(self, sizes: Any, operands: Any, workspace: Any) -> int:
        m, n, k, columns_of_u = sizes
        ta, A, lda, ts, S, tu, U, ldu, tv, V, ldv, tc = operands
        assert len({kind.value for kind in (ta, ts, tu, tv, tc)}) == 1
        work, on_device, host, on_host, info = workspace
        assert (on_device.value, on_host.value) == WORK_BYTES
        assert work.value
        assert host.value
        a = columns(A, m, n.value, lda, ta)
        left, s, right = np.linalg.svd(a, full_matrices=False)
        columns(U, m, columns_of_u, ldu, ta)[:, :k] = left[:, :k]
        columns(V, n, n.value, ldv, ta)[:, :k] = right[:k].T
        columns(S, n, 1, n, ta)[:k, 0] = s[:k]
        a[:] = np.nan
        ctypes.c_int.from_address(info.value).value = self.info
        return self.status


# --------------------------------------------------------------------------------------- modules


def module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    made.__dict__.update(members)
    return made


def gemm_ex(*arguments: Any) -> None:
    """C = B A of bfloat16, as cuBLAS sees matrices by rows."""
    _, _, _, m, n, k, _, A, _, _, B, _, _, _, C, _, _, _, _ = arguments
    codes = [np.ctypeslib.as_array((ctypes.c_uint16 * (m * n)).from_address(x)) for x in (A, B, C)]
    a, b = ((x.astype(np.uint32) << 16).view(np.float32).reshape(m, k) for x in codes[:2])
    codes[2][:] = ((b @ a).view(np.uint32) >> 16).astype(np.uint16).ravel()


def modules(device_count: int = 1, free_bytes: int = 1 << 20) -> dict[str, ModuleType]:
    """The modules by their names, for `sys.modules`; without a device, calls fail as without one.

    `cupy.produced` collects the results of gemmEx, `cupy.waits` counts synchronisations.
    """

    def count() -> int:
        if device_count == 0:
            raise CUDARuntimeError("cudaErrorInsufficientDriver: the driver is insufficient")
        return device_count

    def asarray(a: Any) -> DeviceArray:
        count()
        return a if isinstance(a, DeviceArray) else DeviceArray(a.copy())

    def wait() -> None:
        fake.waits += 1

    rng = np.random.default_rng(0)
    runtime = SimpleNamespace(
        getDeviceCount=count,
        CUDARuntimeError=CUDARuntimeError,
        getDeviceProperties=lambda index: {"name": f"Chip {index}".encode()},
        deviceSynchronize=wait,
        memGetInfo=lambda: (free_bytes, 2 * free_bytes),
        CUDA_R_16BF=14,
    )
    cuda = module(
        "cupy.cuda",
        runtime=runtime,
        device=SimpleNamespace(get_cusolver_handle=lambda: 11, get_cublas_handle=lambda: 12),
        get_current_stream=lambda: SimpleNamespace(ptr=5),
        cusolver=SimpleNamespace(
            setStream=lambda handle, stream: None,
            createParams=lambda: 13,
            destroyParams=lambda params: None,
        ),
        cublas=SimpleNamespace(
            gemmEx=gemm_ex, CUBLAS_OP_N=0, CUBLAS_COMPUTE_32F=68, CUBLAS_GEMM_DEFAULT=-1
        ),
    )
    fake = module(
        "cupy",
        __version__="14.2.0",
        waits=0,
        cuda=cuda,
        asarray=asarray,
        array=lambda a, order, copy: DeviceArray(np.array(a.host, order=order, copy=copy)),
        empty=lambda shape, dtype, order="C": DeviceArray(np.full(shape, 99, dtype, order=order)),
        zeros=lambda shape, dtype: DeviceArray(np.zeros(shape, dtype)),
        copyto=lambda target, source: np.copyto(target.host, source.host),
        linalg=SimpleNamespace(svd=svd),
        random=SimpleNamespace(
            seed=np.random.seed,
            randint=lambda *a, dtype: DeviceArray(rng.integers(*a, dtype=dtype)),
            standard_normal=lambda s, dtype: DeviceArray(rng.standard_normal(s, dtype=dtype)),
        ),
    )
    versions = {"cuda_driver_version": 13000, "cuda_runtime_version": 13020}
    info = SimpleNamespace(**versions, cusolver_version=(12, 4, 1))
    return {
        "cupy": fake,
        "cupy.cuda": cuda,
        "cupyx": module(
            "cupyx", get_runtime_info=lambda: info, empty_pinned=lambda n, dtype: np.empty(n, dtype)
        ),
        "cupyx.scipy": module("cupyx.scipy"),
        "cupyx.scipy.sparse": module("cupyx.scipy.sparse"),
        "cupyx.scipy.sparse.linalg": module("cupyx.scipy.sparse.linalg", svds=svds),
        "cuml": module("cuml", __version__="26.10.0"),
        "cuml.decomposition": module("cuml.decomposition", TruncatedSVD=TruncatedSVD),
    }
