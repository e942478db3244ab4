# SPDX-License-Identifier: BSD-3-Clause
"""A copy of the repository in which one mistake at a time is planted, built and tested."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.planted.mistake import ROOT, Mistake
from tests.support.cuda_builds import native_isas

_FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)  # ids have spaces


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on a mistake: noticed (by which test), missed, out of time or broken."""

    mistake: Mistake
    verdict: str
    by: str
    seconds: float


class Overlay:
    """A copy of the tracked files of the repository, with a build of its own."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder, self.python = folder, python
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(("git", "init", "-q"), cwd=folder, check=True)
        tracked = _tracked(ROOT)
        for name in set(_tracked(folder)).difference(tracked):  # of an earlier state
            (folder / name).unlink()
        for name in tracked:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            source = (ROOT / name).read_bytes()
            if not path.exists() or path.read_bytes() != source:
                path.write_bytes(source)  # what has not changed is not compiled again
        # Tests of the repository list its files.
        subprocess.run(("git", "add", "-A"), cwd=folder, check=True)

    def build(self) -> str:
        """Compile what has changed; return what the compiler said if it failed."""
        build = self.folder / "build" / "planted"
        options = {
            "CMAKE_BUILD_TYPE": "Release",
            "Python_EXECUTABLE": self.python,
            "SIGMASCOPE_CUDA": "OFF",
            "SIGMASCOPE_ISAS": native_isas(),
            "SKBUILD_PROJECT_VERSION": "0",
            "pybind11_DIR": _pybind11(),
        }
        cmake = (self.python, "-m", "cmake")
        if not (build / "build.ninja").exists():
            defined = [f"-D{name}={value}" for name, value in options.items()]
            configure = (*cmake, "-S", str(self.folder), "-B", str(build), "-G", "Ninja", *defined)
            done = subprocess.run(configure, capture_output=True, text=True, check=False)
            if done.returncode:
                return done.stdout + done.stderr
        command = (*cmake, "--build", str(build), "--target", "_core")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stdout + done.stderr
        package = self.folder / "python" / "sigmascope"
        (module,) = build.glob("_core.*.so")
        shutil.copy2(module, package)
        library = _openblas()
        (package / "_libs").mkdir(exist_ok=True)
        shutil.copy2(library, package / "_libs")
        return ""

    def build_for_device(self) -> str:
        """Compile the module for simulated devices; return what failed."""
        work = "from tests.support.cuda_module import built; built()"
        command = (self.python, "-c", work)
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        return done.stdout + done.stderr if done.returncode else ""

    def take_build_of(self, other: Overlay) -> None:
        """Copy the native module that another overlay has built."""
        package, built = (each.folder / "python" / "sigmascope" for each in (self, other))
        shutil.copytree(built / "_libs", package / "_libs", dirs_exist_ok=True)
        for module in built.glob("_core.*.so"):
            shutil.copy2(module, package)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a test run: modules of the overlay, one thread for BLAS."""
        paths = os.pathsep.join((str(self.folder / "python"), str(self.folder)))
        own = {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**os.environ, **own}

    @contextmanager
    def planted(self, mistake: Mistake) -> Iterator[None]:
        """Plant a mistake, and put the right text back."""
        path = self.folder / mistake.file
        right = path.read_text(encoding="utf-8")
        path.write_text(mistake.plant(right), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(right, encoding="utf-8")

    def try_mistake(self, mistake: Mistake, seconds: float, tier: Sequence[str]) -> Outcome:
        """Run the nearest tests with the mistake, until one fails or the time is over."""
        with self.planted(mistake):
            error = self._compile(mistake)
            if error:
                return Outcome(mistake, "broken", error.strip().splitlines()[-1], 0.0)
            started = time.monotonic()
            status, output = self.run_tests(mistake.tests, seconds, tier)
            taken = time.monotonic() - started
        by = _FIRST_FAILURE.search(output)
        if status is None:
            return Outcome(mistake, "out of time", "", taken)
        if status == 0:
            return Outcome(mistake, "missed", "", taken)
        if by is None or status == 5:
            return Outcome(mistake, "broken", output.strip().splitlines()[-1], taken)
        return Outcome(mistake, "noticed", by[1], taken)

    def passes_without(self, outcome: Outcome, tier: Sequence[str]) -> bool:
        """Return whether the test that noticed a mistake passes without it."""
        if self._compile(outcome.mistake):
            return False
        return self.run_tests((outcome.by,), 10 * outcome.seconds + 60, tier)[0] == 0

    def run_tests(
        self, tests: Sequence[str], seconds: float, tier: Sequence[str]
    ) -> tuple[int | None, str]:
        """Return the status of pytest, None if the time was over, and what it wrote."""
        command = [self.python, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p"]
        # A test that is named before its file runs first only if it may run twice.
        command += ["no:randomly", "--keep-duplicates", "--no-header", "--tb=short", *tier, *tests]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, ""
        return process.returncode, output

    def _compile(self, mistake: Mistake) -> str:
        if not mistake.compiled:
            return ""
        return self.build_for_device() if mistake.for_device else self.build()


def _tracked(root: Path) -> list[str]:
    """Return the files of a repository that git tracks or would track, as they are now."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (root / name).is_file()]


def _pybind11() -> str:
    import pybind11

    return pybind11.get_cmake_dir()


def _openblas() -> Path:
    import scipy_openblas32

    return Path(scipy_openblas32.get_lib_dir()) / "libscipy_openblas.so"
