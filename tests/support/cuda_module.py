# SPDX-License-Identifier: BSD-3-Clause
"""The module for simulated CUDA devices, built from the sources of this tree; devices of tests."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from tests.support.cuda_builds import ROOT, compiler, native_isas

import sigmascope

NAME = "sigmascope._cuda"
NEEDED = ("cmake", "ninja", "pybind11", "scipy_openblas32")
FOLDER = ROOT / "build" / f"simulated-{zlib.crc32(sys.prefix.encode()):08x}"
"""One for each environment, kept from run to run, so that only changed sources are compiled."""


def missing() -> str | None:
    """Return the first thing that the build needs and that is not installed."""
    absent = (name for name in NEEDED if importlib.util.find_spec(name) is None)
    return next(absent, None) if compiler() else "a C++ compiler"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def built() -> Path:
    """Build the module, one process at a time, and return its file."""
    import ninja
    import pybind11

    FOLDER.mkdir(parents=True, exist_ok=True)
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_COMPILER": compiler(),
        "CMAKE_MAKE_PROGRAM": f"{ninja.BIN_DIR}/ninja",
        "Python_EXECUTABLE": sys.executable,
        "SIGMASCOPE_CUDA": "SIMULATED",
        "SKBUILD_PROJECT_VERSION": sigmascope.__version__,
        "pybind11_DIR": pybind11.get_cmake_dir(),
    }
    # With a compiler cache the engine is the one of the package, which is there already.
    if "CMAKE_CXX_COMPILER_LAUNCHER" not in os.environ:
        options |= {"CMAKE_CXX_FLAGS_RELEASE": "-O1", "SIGMASCOPE_ISAS": native_isas()}
    cmake = (sys.executable, "-m", "cmake")
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        defined = [f"-D{name}={value}" for name, value in options.items()]
        run(*cmake, "-S", str(ROOT), "-B", str(FOLDER), "-G", "Ninja", *defined)
        run(*cmake, "--build", str(FOLDER), "--target", "_cuda")
    (made,) = (FOLDER / "cuda").glob(f"_cuda.{sys.implementation.cache_tag}-*.so")
    return made


def needs_simulated_device(item: pytest.Item) -> bool:
    """Return whether a test asks for a simulated device, by a fixture or a parameter."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if fixtures & {"simulated_module", "cuda_module", "simulated", "cuda_device"}:
        return True
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("device") == "cuda:0"


@contextmanager
def building() -> Iterator[None]:
    """Build the module in another process meanwhile; the first test that needs it waits for that.

    What goes wrong there goes wrong again in that test, which shows it.
    """
    if missing() is not None:
        yield
        return
    work = "import os; os.nice(10); from tests.support.cuda_module import built; built()"
    process = subprocess.Popen(
        (sys.executable, "-c", work),
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.hookimpl(trylast=True)  # after -m and -k have chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what needs the simulated device last, since another core builds that meanwhile."""
    items.sort(key=needs_simulated_device)


def load() -> ModuleType:
    """Load the module for simulated devices, which it builds first."""
    # Under another name: pybind11 would return the package's own module, if that was imported.
    spec = importlib.util.spec_from_file_location("simulated._cuda", built())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def simulated_device_is_built(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start the build of the simulated device before the first test, if one needs it."""
    if not any(map(needs_simulated_device, request.session.items)):
        yield
        return
    with building():
        yield


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder of compiled sources, which all programs and processes of a run share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "objects"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def simulated_module() -> ModuleType:
    """Import the module under the name that it has in a build with CUDA."""
    absent = missing()
    if absent:
        pytest.skip(f"needs {absent}")
    return load()


@pytest.fixture
def cuda_module(
    simulated_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """Put the module, with devices as they are by default, where the package finds it."""
    monkeypatch.setitem(sys.modules, NAME, simulated_module)
    monkeypatch.setattr(sigmascope, "_cuda", simulated_module, raising=False)
    simulated_module.simulator.restart()
    yield simulated_module
    simulated_module.simulator.restart()


@pytest.fixture
def simulated(cuda_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Let the package see the simulated devices."""
    monkeypatch.setenv("SIGMASCOPE_SIMULATED", "1")
    return cuda_module


@pytest.fixture
def cuda_device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Name the first CUDA device of the package, or else a simulated one, which must end clean."""
    if "cuda:0" in sigmascope.available_devices():
        yield "cuda:0"
        return
    module: ModuleType = request.getfixturevalue("simulated")
    yield "cuda:0"
    assert module.simulator.violation() == ""
    assert module.simulator.objects_in_use() == 0


@pytest.fixture(
    params=["cpu", pytest.param("cuda:0", marks=[pytest.mark.unsanitized, pytest.mark.slow])]
)
def device(request: pytest.FixtureRequest) -> str:
    """Name the device that a test of mathematics computes on, with the same bounds on each."""
    if request.param == "cpu":
        return "cpu"
    name: str = request.getfixturevalue("cuda_device")
    return name


def seeds(device: str, count: int) -> range:
    """Return the seeds of a test: a sixteenth of them, at least two, on a CUDA device."""
    return range(count if device == "cpu" else max(count // 16, 2))
