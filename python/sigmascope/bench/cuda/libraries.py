# SPDX-License-Identifier: BSD-3-Clause
"""Libraries that compute on a CUDA device: what they lack here, their versions and arrays.

All use the first device that CUDA lists; the variable CUDA_VISIBLE_DEVICES selects another.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sigmascope import __version__, available_devices, show_config
from sigmascope.bench.machine import installed

CUPY_PACKAGE = "'cupy-cuda13x[ctk]'"
"""The package of CuPy with the libraries of the toolkit, as pip needs it."""

BUILD = "pip install . -C cmake.define.SIGMASCOPE_CUDA=ON in the sources, with nvcc of CUDA 13"

DRIVER = "driver 580 or newer is needed; nvidia-smi shows the driver and the devices"


class DeviceLibrary(Protocol):
    """A library that computes on a CUDA device."""

    def missing(self) -> str:
        """Return what an installed library lacks here and what helps; empty if it can compute."""

    def description(self) -> str:
        """Name the chip, and the versions of CUDA and of the libraries."""

    def place(self, A: NDArray[Any]) -> Any | None:
        """Copy A to the device in its stored dtype, and return it when the copy is complete.

        None if no installed library can place it there.
        """


def fetched(x: Any) -> NDArray[Any]:
    """Wait for an array of any of the libraries, and return it as a NumPy array."""
    if isinstance(x, np.ndarray):
        return np.asarray(x)
    return np.asarray(x.get() if hasattr(x, "get") else x.cpu().numpy())


class CupyLibrary:
    """CuPy. bfloat16 is placed as its codes, since its linear algebra does not take it."""

    def missing(self) -> str:
        """Return what CuPy lacks: itself, a driver, a device or cuSOLVER."""
        try:
            import cupy
        except ImportError as error:
            return f"CuPy cannot be imported ({_first_line(error)}); pip install {CUPY_PACKAGE}"
        try:
            cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            return f"{_first_line(error)}; {DRIVER}"
        try:
            from cupy.cuda import cusolver  # noqa: F401
        except ImportError as error:
            return f"CuPy finds no cuSOLVER ({_first_line(error)}); pip install {CUPY_PACKAGE}"
        return ""

    def description(self) -> str:
        """Name the chip, and the versions of CuPy, driver, runtime and cuSOLVER."""
        import cupy
        import cupyx

        info = cupyx.get_runtime_info()
        chip = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        driver, runtime = (
            f"{version // 1000}.{version % 1000 // 10}"
            for version in (info.cuda_driver_version, info.cuda_runtime_version)
        )
        cusolver = ".".join(map(str, info.cusolver_version))
        return (
            f"{chip}, CUDA driver {driver}, runtime {runtime}, cuSOLVER {cusolver}, "
            f"cupy {cupy.__version__}"
        )

    def place(self, A: NDArray[Any]) -> Any:
        """Return A on the device; bfloat16 as codes of 16 bits."""
        import cupy

        on_device = cupy.asarray(A.view(np.uint16) if A.dtype.name == "bfloat16" else A)
        cupy.cuda.runtime.deviceSynchronize()
        return on_device


class TorchLibrary:
    """PyTorch.

    Attributes
    ----------
    device : str
        Name of the device in PyTorch.
    """

    device = "cuda"

    def missing(self) -> str:
        """Return what PyTorch lacks: a build for CUDA, a driver or a device."""
        try:
            import torch
        except ImportError as error:
            return f"PyTorch cannot be imported ({_first_line(error)}); pip install torch"
        if torch.version.cuda is None:
            return (
                f"torch {torch.__version__} is built without CUDA; pip install torch --index-url "
                "https://download.pytorch.org/whl/cu130"
            )
        return "" if torch.cuda.is_available() else f"torch finds no device; {DRIVER}"

    def description(self) -> str:
        """Name the chip, and the versions of PyTorch and of its CUDA runtime."""
        import torch

        chip = torch.cuda.get_device_name(0)
        return f"{chip}, CUDA runtime {torch.version.cuda}, torch {torch.__version__}"

    def place(self, A: NDArray[Any]) -> Any:
        """Return A on the device."""
        import torch

        on_device = host_tensor(A).to(self.device)
        torch.cuda.synchronize()
        return on_device


class CumlLibrary:
    """cuML, whose arrays are CuPy's."""

    def missing(self) -> str:
        """Return what CuPy lacks."""
        return CUPY.missing()

    def description(self) -> str:
        """Name the chip, and the versions of cuML and of CuPy's libraries."""
        import cuml

        return f"{CUPY.description()}, cuml {cuml.__version__}"

    def place(self, A: NDArray[Any]) -> Any:
        """Return A as an array of CuPy."""
        return CUPY.place(A)


class OurLibrary:
    """sigmascope with ``device="cuda"``."""

    def missing(self) -> str:
        """Return why there is no CUDA device, in the words of `show_config`."""
        if any(name.startswith("cuda") for name in available_devices()):
            return ""
        reason = str(show_config()["cuda"])
        return f"{reason}; {BUILD}" if reason == "built without CUDA" else reason

    def description(self) -> str:
        """Name the versions of CUDA and of sigmascope, and the chip."""
        return f"sigmascope {__version__}, {show_config()['cuda']}"

    def place(self, A: NDArray[Any]) -> Any | None:
        """Return A as a tensor of PyTorch, or an array of CuPy; None without both."""
        if installed("torch") and not TORCH.missing():
            return TORCH.place(A)
        if installed("cupy") and not CUPY.missing():
            placed = CUPY.place(A)
            return placed.view(A.dtype) if A.dtype.name == "bfloat16" else placed
        return None


def host_tensor(A: NDArray[Any]) -> Any:
    """Return a torch tensor of the same bytes."""
    import torch

    if A.dtype.name == "bfloat16":
        return torch.from_numpy(A.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(A)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


CUPY, TORCH, CUML, OURS = CupyLibrary(), TorchLibrary(), CumlLibrary(), OurLibrary()
