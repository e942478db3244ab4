# SPDX-License-Identifier: BSD-3-Clause
"""Keywords of the public functions: signatures, and messages on those that they do not have."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.support.public_names import PUBLIC

import sigmascope as ss
from sigmascope.diagnosis import Calibration
from sigmascope.errors import ConvergenceWarning, FailedMatrixWarning
from sigmascope.series import Reference
from sigmascope.streaming import GramAccumulator, LinearSketch, MomentsAccumulator, Sketch

A = np.random.default_rng(0).standard_normal((9, 6))

FUNCTIONS = {name: what for name, what in PUBLIC.items() if inspect.isroutine(what)}
MADE = {
    each.__name__: each
    for each in (Sketch, LinearSketch, GramAccumulator, MomentsAccumulator, ss.LowRank)
}
METHODS = {
    "Reference.place": Reference.place,
    "Calibration.fit": Calibration.fit,
    "LowRank.spectrum": ss.LowRank.spectrum,
    "RowAccumulator.extend": Sketch.extend,
    "Sketch.update": Sketch.update,
    "LinearSketch.update": LinearSketch.update,
    "GramAccumulator.update": GramAccumulator.update,
    "MomentsAccumulator.update": MomentsAccumulator.update,
}
EVERY: dict[str, Callable[..., Any]] = FUNCTIONS | MADE | METHODS


def keywords_of(function: Callable[..., Any]) -> list[str]:
    names = inspect.signature(function).parameters
    return [name for name in names if name != "self" and not name.startswith("_")]


@pytest.mark.parametrize("name", EVERY)
def test_every_function_explains_an_unknown_keyword(name: str) -> None:
    with pytest.raises(TypeError) as info:
        EVERY[name](nothing_like_it=1)
    own = keywords_of(EVERY[name])
    takes = f"its keywords are {', '.join(own)}" if own else "it has no keywords"
    assert str(info.value) == f"{name}() has no keyword 'nothing_like_it'; {takes}"


@pytest.mark.parametrize("name", EVERY)
def test_every_keyword_is_a_parameter_with_its_type(name: str) -> None:
    for parameter in inspect.signature(EVERY[name]).parameters.values():
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        assert parameter.name == "self" or parameter.annotation is not parameter.empty, parameter


COMPUTE = ["num_threads", "memory_limit", "panel_rows", "progress", "device", "executor"]
"""Options of every function that computes with a matrix."""

SOLVERS = ["svds", "randomized_svd", "svdvals", "spectral_density", "moments", "spectrum"]


@pytest.mark.parametrize("name", SOLVERS)
def test_options_that_all_share_are_in_the_signature(name: str) -> None:
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    for option in COMPUTE:
        assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[option].default is None
    assert parameters["memory_limit"].annotation == "int | str | None"


def test_options_of_a_scan_are_those_of_scan() -> None:
    of_scan = inspect.signature(ss.scan).parameters
    of_place = inspect.signature(Reference.place).parameters
    options = of_scan.keys() - {"checkpoint", "plan"}
    assert options <= of_place.keys()
    for name in options:
        assert of_place[name].default == of_scan[name].default
        assert of_place[name].annotation == of_scan[name].annotation
    for series in (ss.series.trajectory, ss.series.reference):
        assert inspect.signature(series).parameters["k"].default == of_scan["k"].default


def test_the_same_keyword_has_the_same_default() -> None:
    own, others = (inspect.signature(f).parameters for f in (ss.extract, ss.low_rank))
    shared = {each for each in own if each in others and own[each].kind is own[each].KEYWORD_ONLY}
    assert {"seed", "tol"} < shared
    different = {each for each in shared if own[each].default != others[each].default}
    assert different <= set(COMPUTE)  # "cpu" for a run, None for a call


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ss.svds(A, 2, return_singular_vectors=False), "(use vectors= instead)"),
        (lambda: ss.svds(A, 2, maxiter=9), "'maxiter' (use max_passes= instead)"),
        (lambda: ss.svds(A, 2, n_iter=9), "'n_iter' (use max_passes= instead)"),
        (lambda: ss.randomized_svd(A, 2, n_iter=9), "'n_iter' (use passes= instead)"),
        (lambda: ss.randomized_svd(A, n_components=2), "(use k= instead)"),
        (lambda: ss.svds(A, 2, full_matrices=False), "(the thin SVD is returned, U (m, k) and"),
        (lambda: ss.svdvals(A, compute_uv=False), "(no singular vectors are computed; svds"),
        (lambda: ss.svdvals(A, k=3), "(every singular value is returned; svds"),
        (lambda: ss.svds(A, 2, tolerance=1e-3), "(use tol= instead)"),
        (lambda: ss.svds(A, 2, toll=1e-3), "'toll' (use tol= instead)"),
        (lambda: ss.scan("x", n_jobs=2), "'n_jobs' (use num_threads= instead)"),
        (lambda: Sketch(6, 2, random_state=0), "Sketch() has no keyword 'random_state' (use se"),
        (lambda: ss.set_num_threads(num_threads=2), "(use threads= instead)"),
        (
            lambda: ss.svds(A, 2, solver="arpack", which="LM"),
            "'solver' (use method= instead), 'which' (the largest singular values are returned",
        ),
    ],
)
def test_names_of_other_libraries_are_known(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError) as info:
        call()
    assert message in str(info.value)


def test_a_name_that_a_function_lacks_is_not_proposed() -> None:
    with pytest.raises(TypeError, match=r"'svd_solver'; its keywords are A, accuracy"):
        ss.svdvals(A, svd_solver="full")


OTHER_NAMES = [
    "return_singular_vectors", "compute_uv", "return_vectors", "compute_vectors",
    "eigvals_only", "n_iter", "niter", "n_iters", "num_iter", "iterations", "power_iterations",
    "n_power_iterations", "power_iteration", "iterated_power", "power",
    "power_iteration_normalizer", "maxiter", "max_iter", "max_iterations", "maxit", "num_steps",
    "random_state", "rng", "random_seed", "generator", "n_components", "num_components",
    "n_singular_values", "n_values", "rank", "q", "target_rank", "n_eigenvalues", "tolerance",
    "rtol", "atol", "eps", "num_threads", "n_jobs", "threads", "workers", "n_threads",
    "nthreads", "max_workers", "memory", "max_memory", "mem", "memory_budget", "solver",
    "driver", "svd_solver", "algorithm", "lapack_driver", "ncv", "block_size", "blocksize",
    "callback", "verbose", "disp", "show_progress", "n_oversamples", "n_oversampling",
    "oversample", "num_oversamples", "p", "num_probes", "n_probes", "nv", "n_vectors",
    "n_samples", "dtype", "pool", "client", "gpu", "cuda", "output", "out_path",
    "checkpoint_path", "restart", "size",
]  # fmt: skip
"""Names that other libraries have for keywords of this package."""


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_each_name_means_a_keyword_that_some_function_has(name: str) -> None:
    proposals = 0
    for function in EVERY.values():
        own = keywords_of(function)
        if name in own:
            continue
        with pytest.raises(TypeError) as info:
            function(**{name: 1})
        if proposal := re.search(r" \(use (\w+)= instead\)", str(info.value)):
            assert proposal[1] in own, info.value
            proposals += 1
    assert proposals > 0


REMARKS = [
    "full_matrices", "compute_uv", "vectors", "k", "n_components", "seed", "random_state",
    "svd_solver", "tol", "iterated_power", "n_oversamples", "power_iteration_normalizer",
    "n_iter", "algorithm", "batch_size", "which", "v0", "check_finite", "overwrite_a",
    "hermitian", "copy",
]  # fmt: skip
"""Keywords of other libraries, some of which functions of this package explain instead."""


@pytest.mark.parametrize("name", REMARKS)
def test_each_remark_is_made_by_some_function(name: str) -> None:
    estimators = pytest.importorskip("sigmascope.sklearn")
    remarks = set()
    for function in [*EVERY.values(), estimators.PCA, estimators.TruncatedSVD]:
        if name not in keywords_of(function):
            with pytest.raises(TypeError) as info:
                function(**{name: 1})
            remarks |= set(re.findall(rf"'{name}' \((?!use )([^)]+)", str(info.value)))
    assert remarks


def test_missing_and_surplus_arguments_are_told_by_python() -> None:
    with pytest.raises(TypeError, match=r"randomized_svd\(\) missing 1 required .*'k'"):
        ss.randomized_svd(A)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"svds\(\) takes from 1 to 2 positional arguments"):
        ss.svds(A, 2, 1e-3)  # type: ignore[misc]


def test_public_functions_can_be_pickled() -> None:
    for name, function in FUNCTIONS.items():
        assert pickle.loads(pickle.dumps(function)) is function, name


def test_a_warning_names_the_line_of_the_caller() -> None:
    with pytest.warns(ConvergenceWarning) as caught:
        ss.svds(np.diag(np.linspace(1, 2, 300)), 20, method="krylov", max_passes=3)
    assert caught[0].filename == __file__
    broken = np.stack([A, np.full_like(A, np.nan)])
    with pytest.warns(FailedMatrixWarning) as caught:
        ss.svds(broken, 2)
    assert caught[0].filename == __file__


def test_an_error_inside_of_a_function_is_passed_on() -> None:
    def fails(done: int) -> None:
        raise TypeError(f"{done} has no keyword 'y'")

    with pytest.raises(TypeError, match=r"^432 has no keyword 'y'$"):
        ss.moments(A, progress=fails)
