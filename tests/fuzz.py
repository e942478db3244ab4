# SPDX-License-Identifier: BSD-3-Clause
"""Read strange files for a while: python -m tests.fuzz --minutes 60 [--reader NAME] [--seed 0]

Files are read in processes of their own, with bounded memory and processor time. They are forked,
many files each, since the imports take as long as hundreds of files. A file must be refused with a
documented error, or read as the reference reader of its format does. What is not so is saved, and
named with its seed; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib.util
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.checkpoint.naming.rules import standard_rules
from sigmascope.errors import SigmascopeError
from sigmascope.results import Comparison, Scan
from tests.support.fuzzing import READERS, make

SECONDS = 20.0
"""Seconds of a processor for one file; most take milliseconds."""
PATIENCE = 600.0
"""Seconds after which a file that takes no processor time counts as stuck, on a machine that may
stand still for a minute or two."""
BYTES = 1 << 30
"""Bytes of memory beyond those that the process begins with."""
BATCH = 500


def read(reader: str, path: Path) -> str:
    """Read one file by everything that reads such; AssertionError if another reader disagrees."""
    try:
        if reader == "table":
            refusals = 0
            for load in (Scan.load, Comparison.load, lambda each: ss.merge([each])):
                try:
                    load(path)
                except ValueError as error:  # what these document
                    _check_named(error, path.name, "part", "shards missing")
                    refusals += 1
            return "refused" if refusals == 3 else "read"
        if reader == "adapter":
            opened: Any = open_adapter(path)
        elif reader == "rules":
            opened = ss.open_checkpoint(path, rules=path / "rules.json")
        else:
            opened = ss.open_checkpoint(path, heads=True)
        records = opened.info()
        if reader == "safetensors":
            agrees_with_safetensors(path, records)
        if reader == "gguf":
            agrees_with_gguf(path, records)
        if reader == "onnx":
            agrees_with_onnx(path, records)
        if reader == "flax":
            agrees_with_msgpack(path, records)
        for name, a in opened.items():
            if reader != "adapter" and a.size <= 10**6:
                values = np.asarray(a)
                if reader == "npy" and len(opened) == 1:
                    np.testing.assert_array_equal(values, np.load(path).reshape(values.shape))
            assert name in opened
    except (SigmascopeError, OSError) as error:
        _check_named(error, str(path), "rules")
        return "refused"
    return "read"


def _check_named(error: Exception, *names: str) -> None:
    """AssertionError unless the message names the file, in no more letters than can be read."""
    text = str(error)
    if len(text) > 3000 or not any(name in text for name in names):
        raise AssertionError(f"the message {text[:300]!r}...") from error


def agrees_with_safetensors(path: Path, records: list[Any]) -> None:
    """Check that safetensors accepts the file too, with the same shapes."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as theirs:
        assert set(theirs.keys()) == {record["name"] for record in records}
        for record in records:
            part = theirs.get_slice(record["name"])
            assert tuple(part.get_shape()) == tuple(record["shape"])
            assert part.get_dtype() == record["dtype"]


def agrees_with_gguf(path: Path, records: list[Any]) -> None:
    """Check that the `gguf` package finds the same tensors in the same places."""
    from gguf import GGUFReader

    try:
        theirs = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    except (ValueError, IndexError):  # it knows fewer types, and no scalars in some
        return
    assert set(theirs) == {record["name"] for record in records}
    for record in records:
        tensor = theirs[record["name"]]
        assert tuple(reversed(tensor.shape.tolist())) == record["shape"]
        assert (tensor.tensor_type.name, tensor.data_offset) == (record["dtype"], record["offset"])


def agrees_with_onnx(path: Path, records: list[Any]) -> None:
    """Check that the `onnx` package, where it is installed, finds the same tensors."""
    if importlib.util.find_spec("onnx") is None:
        return
    import onnx

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception:  # it checks more: texts, required fields of nodes
        return
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}
    assert set(shapes) <= {record["name"] for record in records}
    for node in graph.node:
        for each in node.attribute:
            if node.op_type == "Constant" and each.name == "value" and node.output:
                shapes.setdefault(node.output[0], tuple(each.t.dims))
    for record in records:
        assert record["status"] == "other" or shapes[record["name"]] == tuple(record["shape"])


def agrees_with_msgpack(path: Path, records: list[Any]) -> None:
    """Check that `msgpack`, where it is installed, finds the same arrays under the same names."""
    if importlib.util.find_spec("msgpack") is None:
        return
    import msgpack

    raw = path.read_bytes()
    try:
        tree = msgpack.unpackb(raw, ext_hook=lambda code, content: (code, content))
    except ValueError:  # an extension of type -1 is a time there
        return
    results: dict[str, Any] = {}

    def flatten(value: Any, name: str) -> None:
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in items:
                flatten(inner, f"{name}/{key}")
        else:
            results[name] = value

    flatten(tree, "")
    for record in records:
        names = (f"{above}/{record['name']}" for above in ("", "/params", "/target"))
        name = next((name for name in names if name in results), None)
        if name is None:  # of an array in chunks
            assert record["status"] == "other" or "/chunks/0" in "".join(results)
        if name is None or record["status"] == "other":
            continue
        shape, _, content = msgpack.unpackb(results[name][1])
        assert tuple(shape) == tuple(record["shape"])
        assert raw[record["offset"] :][: record["nbytes"]] == content


def worker(reader: str, first: int, count: int, folder: Path) -> None:
    """Read files one after another; the last seed that is printed is the one that is at work."""
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):  # it needs terabytes
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + BYTES,) * 2)
    for number in (signal.SIGPROF, signal.SIGALRM):
        faulthandler.register(number, chain=True)  # says where the process is, which then ends
    for seed in range(first, first + count):
        print(seed, end=" ", flush=True)
        _limit_time(SECONDS, PATIENCE)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            try:
                print(read(reader, make(reader, seed, Path(place))), flush=True)
            except Exception:
                (folder / f"{seed}.txt").write_text(traceback.format_exc(), errors="replace")
                print("failed", flush=True)
        _limit_time(0.0, 0.0)


def _limit_time(processor: float, wall: float) -> None:
    """End this process after so many more seconds of a processor or of the clock; 0 for never."""
    signal.setitimer(signal.ITIMER_PROF, processor)
    signal.setitimer(signal.ITIMER_REAL, wall)


def prepare(readers: list[str]) -> None:
    """Import and compile what the files need, before the limits and for all processes."""
    standard_rules()
    for name in ("gguf", "msgpack", "onnx", "safetensors.numpy"):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)
    for reader in readers:
        with tempfile.TemporaryDirectory() as folder:
            make(reader, 0, Path(folder))


def forked(folder: Path, work: Callable[[], None]) -> int:
    """Work in another process, whose output is in `out` and `err`; return its exit status.

    This process reads no files, so that it has no threads with locks that the other one would need.
    """
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of BLAS, which idle
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY, 0o600), number)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def batch(reader: str, first: int, count: int) -> tuple[int, int, int, list[tuple[int, str]]]:
    """Run one worker; return how many files were refused and read, the next seed, and failures."""
    in_memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=in_memory) as name:
        folder = Path(name)
        status = forked(folder, lambda: worker(reader, first, count, folder))
        lines, errors = ((folder / each).read_text(errors="replace") for each in ("out", "err"))
        refused, accepted, failures, seed = 0, 0, [], first
        for line in lines.splitlines():
            number, _, what = line.partition(" ")
            seed = int(number)
            refused, accepted = refused + (what == "refused"), accepted + (what == "read")
            if what == "failed":
                failures.append((seed, (folder / f"{seed}.txt").read_text()[-3000:]))
    if status:
        failures.append((seed, f"ended with {status}: {errors[-3000:]}"))
    return refused, accepted, seed + 1, failures


def save(reader: str, seed: int, into: Path) -> Path:
    """Make the file of a seed where it stays."""
    folder = into / f"{reader}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return make(reader, seed, folder)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--reader", choices=READERS, action="append")
    parser.add_argument(
        "--seed", type=int, default=None, help="the first; by default another each day"
    )
    parser.add_argument("--save", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args(arguments)
    readers = options.reader or list(READERS)
    first = int(time.time()) // 86400 * 1_000_000 if options.seed is None else options.seed
    print(f"seeds from {first} on, of {', '.join(readers)}", flush=True)
    prepare(readers)
    ends, seeds, failed = time.monotonic() + 60 * options.minutes, dict.fromkeys(readers, first), 0
    totals = {reader: [0, 0] for reader in readers}
    while time.monotonic() < ends:
        for reader in readers:
            refused, accepted, seeds[reader], failures = batch(reader, seeds[reader], BATCH)
            totals[reader][0] += refused
            totals[reader][1] += accepted
            done = f"{seeds[reader] - first} files, {failed + len(failures)} failures so far"
            print(f"{reader}: seeds to {seeds[reader] - 1}, {done}", flush=True)
            for seed, why in failures:
                failed += 1
                print(
                    f"FAILED {reader} seed {seed}, saved as "
                    f"{save(reader, seed, options.save)}\n{why}"
                )
    for reader, (refused, accepted) in totals.items():
        print(f"{reader}: {refused} refused, {accepted} read")
    print(f"{failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
