# SPDX-License-Identifier: BSD-3-Clause
"""Listeners around the analysis of each matrix of a scan, a comparison or a monitor.

Here alone is the place where the package begins such an analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

import sigmascope as ss
from sigmascope._execution import costs
from sigmascope._host.native import _core
from sigmascope.analysis.spectrum import analysed
from sigmascope.comparing import pair_spectra
from sigmascope.scanning import live, tasks


def before_each_spectrum_of_a_pair(
    patch: pytest.MonkeyPatch, listener: Callable[[Any, int], object]
) -> None:
    """Call the listener with a matrix and its number of threads, before each of its spectra."""

    def listening(a: Any, request: Any, **how: Any) -> Any:
        listener(a, request.options["num_threads"])
        return analysed(a, request, **how)

    patch.setattr(pair_spectra, "analysed", listening)


def before_each_spectrum_of_a_scan(
    patch: pytest.MonkeyPatch, listener: Callable[[], object], **more: Any
) -> None:
    """Call the listener before each spectrum of a scan, which is computed with `more` options."""

    def listening(a: Any, request: Any, **how: Any) -> Any:
        listener()
        return analysed(a, request, **how | more)

    patch.setattr(tasks, "analysed", listening)


def end_searches_early(patch: pytest.MonkeyPatch, passes: int = 2) -> None:
    """End the searches of scans of this process after fewer passes than they need.

    They may make 300, which no small matrix uses up.
    """
    before_each_spectrum_of_a_scan(patch, lambda: None, max_passes=passes)


def watch_matrices(
    patch: pytest.MonkeyPatch, watch: Callable[[ss.Matrix, Mapping[str, Any]], None]
) -> None:
    """Call a function with each matrix that a scan analyses, and with the options of its call."""

    def listening(a: ss.Matrix, request: Any, **how: Any) -> Any:
        watch(a, request.options)
        return analysed(a, request, **how)

    patch.setattr(tasks, "analysed", listening)


def after_each_spectrum(patch: pytest.MonkeyPatch, listener: Callable[[], object]) -> None:
    """Call the listener once the spectrum of a matrix is there, and its row is not."""

    def listening(*args: Any, **how: Any) -> Any:
        spectrum = analysed(*args, **how)
        listener()
        return spectrum

    for room in (tasks, pair_spectra):
        patch.setattr(room, "analysed", listening)


def before_each_row_of_a_monitor(
    patch: pytest.MonkeyPatch, listener: Callable[[str], object]
) -> None:
    """Call the listener with the name of a matrix, before a monitor analyses it."""

    def listening(matrices: Any, name: str, options: Any) -> Any:
        listener(name)
        return tasks.analyse(matrices, name, options)

    patch.setattr(live, "analyse", listening)


def after_each_krylov_search(
    patch: pytest.MonkeyPatch, listener: Callable[[dict[str, Any], Any], object]
) -> None:
    """Call the listener with the options and the outcome of each native search."""
    krylov = _core.krylov

    def listening(a: Any, **options: Any) -> Any:
        outcome = krylov(a, **options)
        listener(options, outcome)
        return outcome

    patch.setattr(_core, "krylov", listening)


def let_densities_cost_as_little_as_the_top(patch: pytest.MonkeyPatch) -> None:
    """Have matrices of some hundred rows a density, where every value costs less.

    It replaces them only where it replaces the largest values, too.
    """
    patch.setitem(costs.SPECTRUM, "density", costs.SPECTRUM["top"])
