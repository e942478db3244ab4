# SPDX-License-Identifier: BSD-3-Clause
"""The command `sigmascope bench` (extra ``cli``)."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from sigmascope.extension.commands import (
    DONE,
    INCOMPLETE,
    INTERRUPTED,
    QuietOption,
    clean_errors,
    command_again,
    console,
    tell_command,
)

from .machine import busy_note
from .table import show_result

_REPEATS = 2
"""Most rounds of further turns for libraries whose times vary."""

_SHAPE, _SPECTRUM, _DTYPE = "2048x2048", "llm", "float32"

MatrixArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[MATRIX]",
        help="A .npy, .mtx, .mat or .npz file (all but the first need SciPy), or a .safetensors "
        "file or folder with --tensor. Default: a synthetic matrix.",
        show_default=False,
    ),
]
TensorOption = Annotated[
    str | None,
    typer.Option("--tensor", metavar="NAME", help="Tensor of the checkpoint, or variable."),
]
ShapeOption = Annotated[
    str | None,
    typer.Option(metavar="MxN", help=f"Shape of a synthetic matrix. Default: {_SHAPE}."),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Stored dtype: float64, float32, float16 or bfloat16. Default: that of the file, or "
        f"{_DTYPE}.",
    ),
]
SpectrumOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Spectrum of a synthetic matrix: llm, decay, clustered or flat. "
        f"Default: {_SPECTRUM}.",
    ),
]
RankOption = Annotated[
    int,
    typer.Option(
        "-k", "--k", min=1, metavar="N", help="Number of singular values, with their vectors."
    ),
]
AccuracyOption = Annotated[
    str,
    typer.Option(
        "--accuracy",
        "--tol",
        metavar="X,...",
        help="Largest relative errors of the k values, separated by commas. Times are compared "
        "for each of them.",
    ),
]
BackendsOption = Annotated[
    str,
    typer.Option(
        metavar="NAME,...", help="Libraries to compare, separated by commas; --list names them."
    ),
]
TurnsOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="Number of timed processes of each backend.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Threads of every library. Default: all cores."),
]
TimeoutOption = Annotated[
    float, typer.Option(metavar="S", help="Seconds after which a process is stopped.")
]
SeedOption = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Seed of the synthetic matrix for settings; timing uses the next seed.",
    ),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Save the measurements of each process in this .jsonl as soon as it ends. The same "
        "command continues an interrupted benchmark.",
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--json", "--out", metavar="FILE", help="Save all results as JSON.")
]
PlotOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Plot time against accuracy as .png, .svg or .pdf (matplotlib)."
    ),
]
GrowthOption = Annotated[
    bool,
    typer.Option(
        "--growth",
        help="Measure instead how svds scales with the matrix, from --shape to 8x.",
    ),
]
ListOption = Annotated[
    bool,
    typer.Option(
        "--list", help="Name the libraries, and the command that installs each missing one."
    ),
]


def bench(
    matrix: MatrixArgument = None,
    tensor: TensorOption = None,
    shape: ShapeOption = None,
    dtype: DtypeOption = None,
    spectrum: SpectrumOption = None,
    k: RankOption = 32,
    accuracy: AccuracyOption = "1e-2,1e-3,1e-6",
    backends: BackendsOption = "all",
    turns: TurnsOption = 3,
    threads: ThreadsOption = None,
    timeout: TimeoutOption = 120.0,
    seed: SeedOption = 0,
    resume: ResumeOption = None,
    out: OutOption = None,
    plot: PlotOption = None,
    growth: GrowthOption = False,
    names: ListOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare the SVD libraries that are installed, in time and accuracy.

    The matrix is yours or a synthetic one. Every library runs in processes of its own, with the
    same threads on the same cores. Its fastest setting for each accuracy is searched first, then
    timed in turns and checked again. Libraries whose times vary are timed more often.
    """
    from sigmascope import bench as room

    with clean_errors():
        if names:
            _show_names(room)
            raise typer.Exit(DONE)
        _check(matrix, tensor, shape, spectrum, growth, out, plot)
        chosen = room.select(backends.split(","))
        m, n = _pair(shape or _SHAPE)
        journal = None if resume is None else room.ProcessJournal(resume)
        with _telling(quiet) as tell, _stopping(journal):
            plan = room.BenchmarkPlan(
                k=k,
                accuracies=_numbers(accuracy),
                turns=turns,
                threads=threads,
                timeout=timeout,
                seed=seed,
                repeats=_REPEATS,
                tell=tell,
                **({} if journal is None else {"run": journal.run}),
            )
            if growth:
                tol = min(plan.accuracies, key=lambda a: abs(a - 1e-3))
                result: Any = room.grow(
                    spectrum or _SPECTRUM, (m, n), dtype or _DTYPE, tol=tol, plan=plan
                )
            elif matrix is not None:
                result = room.compare(room.given(matrix, tensor, dtype), plan, chosen)
            else:
                workload = room.synthetic(spectrum or _SPECTRUM, m, n, dtype or _DTYPE)
                result = room.compare(workload, plan, chosen)
        complete = _show(result, growth, out, plot)
    raise typer.Exit(DONE if complete else INCOMPLETE)


def _check(
    matrix: Path | None,
    tensor: str | None,
    shape: str | None,
    spectrum: str | None,
    growth: bool,
    out: Path | None,
    plot: Path | None,
) -> None:
    """Check the options, so that errors do not appear only after the measurements."""
    if matrix is not None and (shape or spectrum):
        raise ValueError("--shape and --spectrum are for synthetic matrices, not for MATRIX")
    if matrix is not None and growth:
        raise ValueError("--growth makes its own matrices: give --shape and --spectrum, not MATRIX")
    if matrix is None and tensor is not None:
        raise ValueError("--tensor needs MATRIX, the checkpoint that holds it")
    if matrix is not None and not matrix.exists():
        raise FileNotFoundError(2, "No such file or directory", str(matrix))
    if plot is not None:
        if growth:
            raise ValueError("--plot is for comparisons, --growth prints a table")
        if plot.suffix not in (".png", ".svg", ".pdf"):
            raise ValueError(f"{plot}: a plot is saved as .png, .svg or .pdf")
        if find_spec("matplotlib") is None:
            raise ImportError("--plot needs matplotlib: pip install 'sigmascope[plot]'")
    for path in (out, plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise FileNotFoundError(2, "No such file or directory", str(path))


def _pair(shape: str) -> tuple[int, int]:
    if match := re.fullmatch(r"([1-9][0-9]*)[xX×]([1-9][0-9]*)", shape):
        return int(match[1]), int(match[2])
    raise ValueError(f"shape {shape!r} is not of the form MxN, such as 4096x11008")


def _numbers(text: str) -> list[float]:
    try:
        return list(map(float, text.split(",")))
    except ValueError:
        raise ValueError(f"accuracy {text!r} is not a list of numbers such as 1e-2,1e-3") from None


def _show(result: Any, growth: bool, out: Path | None, plot: Path | None) -> bool:
    """Save and print a result; return True if no process crashed or ran out of time."""
    if out is not None:
        out.write_text(json.dumps(result.record(), indent=1) + "\n", encoding="utf-8")
    if plot is not None:
        from .plot import save_plot

        save_plot(result, plot)
    show_result(console(), result)
    sys.stdout.flush()
    if growth:
        return all(p.timing.seconds for line in result.lines for p in line.points)
    return all(entry.status == "done" or entry.absent for entry in result.entries)


def _show_names(room: Any) -> None:
    out = console()
    for backend in room.known_backends():
        state = backend.absence[1] or backend.version or "installed"
        line = f"{backend.name:<18} {backend.group:<8} {backend.title:<34} {state}"
        out.print(line, soft_wrap=True)


@contextmanager
def _stopping(journal: Any) -> Iterator[None]:
    """After Ctrl-C print the command that continues the benchmark, and exit with its status."""
    try:
        yield
    except KeyboardInterrupt:
        if journal is None:
            text = "nothing was saved; with --resume FILE.jsonl a benchmark can be continued"
            print(f"sigmascope: interrupted, and {text}.", file=sys.stderr)
        else:
            tell_command(command_again(sys.argv[1:], journal.path, ()), stderr=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _telling(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that reports progress on standard error.

    On a terminal it updates one line, else it prints a line for each step.
    """
    errors = console(stderr=True)
    note = busy_note(os.getloadavg()[0], os.cpu_count() or 1)
    if note and not quiet:
        errors.print(note, soft_wrap=True)
    if quiet:
        yield lambda text: None
    elif errors.is_terminal:
        with errors.status("starting") as status:
            yield status.update
    else:
        yield lambda text: errors.print(text, soft_wrap=True)
