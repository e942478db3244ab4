# SPDX-License-Identifier: BSD-3-Clause
"""Keywords of NumPy, SciPy, scikit-learn, torch and others, and the names that they have here."""

from __future__ import annotations

from collections.abc import Mapping

_NAMES = {
    ("vectors",): "return_singular_vectors compute_uv return_vectors compute_vectors eigvals_only",
    ("passes", "max_passes"): (
        "n_iter niter n_iters num_iter iterations power_iterations n_power_iterations "
        "power_iteration iterated_power power power_iteration_normalizer"
    ),
    ("max_passes", "passes"): "maxiter max_iter max_iterations maxit num_steps",
    ("seed",): "random_state rng random_seed generator",
    ("k", "width"): (
        "n_components num_components n_singular_values n_values rank q target_rank n_eigenvalues"
    ),
    ("tol",): "tolerance rtol atol eps",
    ("num_threads", "threads"): "num_threads n_jobs threads workers n_threads nthreads max_workers",
    ("memory_limit",): "memory max_memory mem memory_budget",
    ("method",): "solver driver svd_solver algorithm lapack_driver",
    ("block",): "ncv block_size blocksize",
    ("progress",): "callback verbose disp show_progress",
    ("oversampling",): "n_oversamples n_oversampling oversample num_oversamples p",
    ("probes",): "num_probes n_probes nv n_vectors n_samples",
    ("precision", "dtype"): "dtype",
    ("executor",): "pool client",
    ("device",): "gpu cuda",
    ("out",): "output out_path",
    ("resume",): "checkpoint_path restart",
    ("shape",): "size",
}
"""Names of other libraries, by the names here with the same meaning, the best first."""

OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    name: targets for targets, names in _NAMES.items() for name in names.split()
}
"""Names here, by the name in another library. Names that a function lacks do not count."""

_TRIPLETS = frozenset({"A", "k"})
_MATRIX = frozenset({"A"})
_VALUES = frozenset({"A", "accuracy"})
_EXACT = frozenset({"n_components", "whiten"})  # PCA
_SEARCH = frozenset({"n_components", "random_state"})  # TruncatedSVD
_SUMS = (_EXACT, "all rows are summed and decomposed exactly: omit it")
_TO_TOL = (_SEARCH, "the search ends at tol=: omit it")

REMARKS: Mapping[str, tuple[tuple[frozenset[str], str], ...]] = {
    "full_matrices": (
        (_TRIPLETS, "the thin SVD is returned, U (m, k) and Vt (k, n)"),
        (_MATRIX, "no singular vectors are returned"),
    ),
    "compute_uv": ((_MATRIX, "no singular vectors are computed; svds computes them"),),
    "vectors": ((_MATRIX, "no singular vectors are computed; svds computes them"),),
    "k": ((_VALUES, "every singular value is returned; svds returns the k largest"),),
    "n_components": ((_VALUES, "every singular value is returned; svds returns the k largest"),),
    "seed": ((_VALUES, "nothing is random"),),
    "random_state": ((_VALUES, "nothing is random"), (_EXACT, "nothing is random: omit it")),
    "svd_solver": (_SUMS,),
    "tol": (_SUMS,),
    "iterated_power": (_SUMS, _TO_TOL),
    "n_oversamples": (_SUMS, _TO_TOL),
    "power_iteration_normalizer": (_SUMS, _TO_TOL),
    "n_iter": (_SUMS, _TO_TOL),
    "algorithm": (_SUMS, _TO_TOL),
    "batch_size": ((_EXACT, "pass batches to partial_fit"),),
    "which": ((_TRIPLETS, "the largest singular values are returned; svdvals has all of them"),),
    "v0": ((_TRIPLETS | {"seed"}, "the start is random, and seed= chooses it"),),
    "check_finite": ((_MATRIX, "NaN and infinity are always detected"),),
    "overwrite_a": ((_MATRIX, "the matrix is never changed"),),
    "hermitian": ((_MATRIX, "a symmetric matrix is treated like any other"),),
    "copy": (
        (frozenset({"source"}), "an array is copied only if its storage cannot be read"),
        (_EXACT, "the rows are never changed: omit it"),
    ),
}
"""Keywords of other libraries that have no counterpart: remarks for functions with some names."""
