# SPDX-License-Identifier: BSD-3-Clause
"""Checks and timings that need a GPU, in one run of at most ten minutes.

    python -m benchmarks.experiments.gpu_run --prepare build/gpu
    python -m benchmarks.experiments.gpu_run --cache build/gpu --out build/gpu/run
    python -m benchmarks.experiments.gpu_run --rehearse --module FILE --out build/gpu/run

The first command needs no GPU: it writes matrices and the values that answers are held against. The
package must be installed with its module for CUDA. A wheel for one card is built in a quarter of
the time, with ``--config-settings=cmake.define.SIGMASCOPE_CUDA=ON`` and
``--config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES=90-real``.

Every part runs in a process group of its own, which ends at its limit of time. Each result is
printed and written as soon as it is there, to a file of JSON and to a page beside it. `--rehearse`:
small sizes, on the simulated devices of the module FILE.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from .gpu_page import page
from .gpu_parts import PARTS, prepare, small

Part = dict[str, Any]
SIMULATED_DEVICE = Path(__file__).parent.absolute() / "simulated_device"
REHEARSED = 4
"""A part may take so many times its limit on a simulated device."""


def restart_with_simulated_device(path: Path) -> None:
    """Start this program again; it and its processes then import a module for simulated devices.

    They inherit a folder in PYTHONPATH, whose `sitecustomize` puts the module in place.
    """
    if os.environ.get("SIMULATED_MODULE") == str(path.absolute()):
        return
    os.environ["SIMULATED_MODULE"] = str(path.absolute())
    os.environ["SIGMASCOPE_SIMULATED"] = "1"
    paths = [str(SIMULATED_DEVICE), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.execv(sys.executable, sys.orig_argv)


def print_part(name: str, rehearse: bool) -> None:
    """Print each result of a part in a line of JSON, as soon as it is there."""
    part = small if name == "small" else PARTS[name][0]
    for key, value in part(rehearse):
        print(json.dumps([key, value]), flush=True)


def run_part(name: str, options: list[str], limit: float, save: Callable[[Part], None]) -> Part:
    """Run a part in a process group of its own; `save` gets what it has printed so far."""
    command = [sys.executable, "-m", "benchmarks.experiments.gpu_run", "--part", name, *options]
    result: Part = {}
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        assert process.stdout is not None

        def keep(lines: IO[str]) -> None:
            for line in lines:
                key, value = json.loads(line)
                result[key] = value
                save(result)

        reader = threading.Thread(target=keep, args=(process.stdout,))
        reader.start()
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            result["failed"] = f"took more than {limit:g} s"
            status = 0
        end_group(process.pid)
        process.wait()
        reader.join()
        process.stdout.close()
        errors.seek(0)
        if status != 0:
            result["failed"] = errors.read()[-2000:]
    result["seconds_of_part"] = round(time.perf_counter() - started, 1)
    save(result)
    return result


def end_group(group: int) -> None:
    """End what a part has left behind."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> None:
    parser = argparse.ArgumentParser(description="Check and time the engine on a GPU.")
    parser.add_argument("--prepare", type=Path, metavar="FOLDER", help="only write what it needs")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="with what was prepared")
    parser.add_argument("--out", type=Path, default=Path("gpu"), metavar="NAME")
    parser.add_argument("--part", choices=[*PARTS, "small"], help="one part, as lines of JSON")
    parser.add_argument("--rehearse", action="store_true", help="small sizes")
    parser.add_argument("--module", type=Path, metavar="FILE", help="of simulated devices")
    given = parser.parse_args()
    if given.prepare:
        return prepare(given.prepare, given.rehearse)
    if given.module:
        restart_with_simulated_device(given.module)
    if given.part:
        return print_part(given.part, given.rehearse)
    if given.cache:
        os.environ["XDG_CACHE_HOME"] = str(given.cache.absolute())
    options = ["--rehearse"] * given.rehearse
    options += ["--module", str(given.module)] if given.module else []
    results: dict[str, Part] = {}
    given.out.parent.mkdir(parents=True, exist_ok=True)

    def write() -> None:
        text = json.dumps(results, indent=1) + "\n"
        given.out.with_suffix(".json").write_text(text, encoding="utf-8")
        given.out.with_suffix(".md").write_text(page(results), encoding="utf-8")

    for name, (_, limit) in PARTS.items():

        def save(result: Part, name: str = name) -> None:
            results[name] = dict(result)
            write()

        result = run_part(name, options, limit * (REHEARSED if given.rehearse else 1), save)
        print(f"{name}: {json.dumps(result)[:300]}", flush=True)


if __name__ == "__main__":
    main()
