# SPDX-License-Identifier: BSD-3-Clause
"""Lines that users of NumPy, SciPy, scikit-learn, pandas and torch write, and what comes of them.

Each line is an expression. TAKEN has the expression with the same numbers in another library,
REFUSED the words by which the message names the way out.
"""

from __future__ import annotations

import ast
import importlib
from typing import Any

import numpy as np
import pytest

import sigmascope as ss

OPTIONAL = {
    "pd": "pandas",
    "torch": "torch",
    "linalg": "scipy.linalg",
    "sparse": "scipy.sparse",
    "arpack": "scipy.sparse.linalg",
    "extmath": "sklearn.utils.extmath",
}
"""Modules by the names that they have in the lines; a line is skipped where one is missing."""

A = np.random.default_rng(0).standard_normal((12, 8))
N = np.arange(96).reshape(12, 8) % 11
X = np.random.default_rng(1).standard_normal((3, 12, 8))

S = "np.linalg.svd(A, compute_uv=False)"
OF_N = "np.linalg.svd(N, compute_uv=False)"

TAKEN = [
    # NumPy
    ("ss.svdvals(A)", S),
    ("np.asarray(ss.svdvals(A))", S),
    ("ss.svdvals(A.T)", S),
    ("ss.svdvals(A[::-1, ::2])", "np.linalg.svd(A[::-1, ::2], compute_uv=False)"),
    ("ss.svdvals(np.asfortranarray(A))", S),
    ("ss.svdvals(A.tolist())", S),
    ("ss.svdvals(tuple(map(tuple, A)))", S),
    ("ss.svdvals(N)", OF_N),
    ("ss.svdvals(N.tolist())", OF_N),
    ("ss.svdvals(N.astype(np.uint8))", OF_N),
    ("ss.svdvals(N > 5)", "np.linalg.svd((N > 5).astype(float), compute_uv=False)"),
    ("ss.svdvals(A.astype('>f8'))", S),
    ("ss.svdvals(N.astype('>i4'))", OF_N),
    ("ss.svdvals(np.ma.masked_invalid(A))", S),
    ("ss.svdvals(X)", "np.linalg.svd(X, compute_uv=False)"),
    ("ss.svdvals(list(X))", "np.linalg.svd(X, compute_uv=False)"),
    ("ss.svds(A, k=3).s", f"{S}[:3]"),
    ("tuple(ss.svds(A, 3))[1]", f"{S}[:3]"),
    ("(lambda U, s, Vt: (U * s) @ Vt)(*ss.svds(A, 8, tol=1e-12))", "A"),
    ("ss.svds(X, 2).s", "np.linalg.svd(X, compute_uv=False)[:, :2]"),
    ("ss.matrix(A) @ np.ones(8)", "A @ np.ones(8)"),
    ("np.ones(12) @ ss.matrix(A)", "np.ones(12) @ A"),
    ("ss.matrix(A)[2:5].T", "A[2:5].T"),
    ("ss.matrix(A)[3, 4]", "A[3, 4]"),
    ("ss.matrix(A)[-1]", "A[-1]"),
    ("ss.matrix(A) - A / 2", "A / 2"),
    ("ss.matrix(A) + N", "A + N"),
    ("len(ss.matrix(A))", "len(A)"),
    ("ss.matrix(A).shape", "A.shape"),
    ("ss.block([[A, A], [A, A]])", "np.block([[A, A], [A, A]])"),
    ("ss.vstack([A, N])", "np.vstack([A, N])"),
    ("ss.hstack([A, N])", "np.hstack([A, N])"),
    ("ss.moments(A).fro_norm", "np.linalg.norm(A)"),
    ("ss.moments(A).std", "A.std()"),
    ("ss.moments(A).mean", "A.mean()"),
    ("ss.moments(N).max", "N.max()"),
    ("float(ss.spectrum(A, effort='exact')['spectral_norm'])", "np.linalg.norm(A, 2)"),
    ("float(ss.spectrum(A, effort='exact')['nuclear_norm'])", "np.linalg.norm(A, 'nuc')"),
    # SciPy
    ("ss.svds(A, k=3).s", "arpack.svds(A, k=3)[1][::-1]"),
    ("ss.svdvals(A)", "linalg.svdvals(A)"),
    ("arpack.svds(ss.aslinearoperator(ss.matrix(A)), k=3)[1]", "arpack.svds(A, k=3)[1]"),
    ("ss.svdvals(sparse.csr_array(N).toarray())", OF_N),
    ("ss.svds(sparse.csr_array(N), 2).s", f"{OF_N}[:2]"),
    ("ss.svds(sparse.eye(8), 2).s", "[1, 1]"),
    ("ss.svds(arpack.aslinearoperator(A), 2).s", f"{S}[:2]"),
    ("ss.svdvals(arpack.aslinearoperator(A) @ np.eye(8))", S),
    # scikit-learn
    ("ss.randomized_svd(A, 8).s", "extmath.randomized_svd(A, 8, random_state=0)[1]"),
    ("ss.randomized_svd(A, 2, passes=8, seed=1).s", f"{S}[:2]"),
    ("ss.svds(A - A.mean(0), 3).s ** 2 / 11", "np.linalg.eigvalsh(np.cov(A.T))[::-1][:3]"),
    # pandas
    ("ss.svdvals(pd.DataFrame(A))", S),
    ("ss.svdvals(pd.DataFrame(N))", OF_N),
    ("ss.svdvals(pd.DataFrame({'a': [1, 2], 'b': [0.5, 1]}))", "[2.5, 0.0]"),
    ("ss.svdvals(pd.DataFrame(A).iloc[2:9, :3])", "np.linalg.svd(A[2:9, :3], compute_uv=False)"),
    ("ss.svds(pd.DataFrame(N), 2).s", f"{OF_N}[:2]"),
    ("ss.moments(pd.Series(A[0]).to_frame()).fro_norm", "np.linalg.norm(A[0])"),
    # torch
    ("ss.svdvals(torch.from_numpy(A))", "torch.linalg.svdvals(torch.from_numpy(A))"),
    ("ss.svdvals(torch.from_numpy(A).T)", S),
    ("ss.svdvals(torch.from_numpy(N))", OF_N),
    ("ss.svdvals(torch.nn.Parameter(torch.from_numpy(A)))", S),
    ("ss.svdvals(torch.from_numpy(X))", "np.linalg.svd(X, compute_uv=False)"),
    ("ss.matrix(torch.from_numpy(A).bfloat16())", "torch.from_numpy(A).bfloat16().float()"),
    ("ss.scan({'w': A}, k=3)['w']['spectral_norm']", "np.linalg.norm(A, 2)"),
    ("ss.scan({'w': torch.from_numpy(A)}, k=3)['w']['fro_norm']", "np.linalg.norm(A)"),
    ("len(ss.scan(torch.nn.Linear(3, 2), k=1))", "2"),
    ("len(ss.scan(torch.nn.Linear(3, 2).state_dict(), k=1))", "2"),
    ("ss.compare({'w': A}, {'w': 2 * A}, k=3)['w']['relative_change']", "1.0"),
    ("ss.svds(torch.from_numpy(A), 2).s", "torch.linalg.svdvals(torch.from_numpy(A))[:2]"),
]

REFUSED = [
    # NumPy
    ("ss.svds(A, 3, full_matrices=False)", "the thin SVD is returned"),
    ("ss.svdvals(A, compute_uv=False)", "no singular vectors are computed"),
    ("ss.svds(A, 3, hermitian=True)", "a symmetric matrix is treated like any other"),
    ("ss.svdvals(A + 1j)", "np.block([[A.real, -A.imag], [A.imag, A.real]])"),
    ("ss.svdvals(np.ma.masked_greater(A, 0))", "x.filled(0)"),
    ("ss.svdvals(A[0])", "x[None, :] is one row"),
    ("ss.matrix(X)", "x.reshape(-1, x.shape[-1]) is one matrix"),
    ("ss.moments(X)", "svds, svdvals, randomized_svd"),
    ("ss.svdvals(A.astype(object))", "x.astype(np.float64) converts"),
    ("ss.svdvals(A.astype(str))", "x.astype(np.float64) parses"),
    ("ss.svdvals(np.array([[2**53 + 1]]))", "is 9007199254740993, which float64 cannot"),
    ("ss.svdvals(np.array([[np.nan, 1]]))", "1 NaN"),
    ("ss.svds(A, 9)", "min(m, n) = 8"),
    ("ss.matrix(A) @ np.ones(9)", "cannot multiply"),
    ("ss.matrix(A)[A[:, 0] > 0]", "np.asarray(A)"),
    # SciPy
    ("ss.svds(A, 3, return_singular_vectors=False)", "use vectors= instead"),
    ("ss.svds(A, 3, solver='arpack')", "use method= instead"),
    ("ss.svds(A, 3, maxiter=20)", "use max_passes= instead"),
    ("ss.svds(A, 3, ncv=20)", "use block= instead"),
    ("ss.svds(A, 3, which='SM')", "the largest singular values are returned"),
    ("ss.svds(A, 3, v0=np.ones(8))", "seed= chooses it"),
    ("ss.svds(A, 3, rng=0)", "use seed= instead"),
    ("ss.svdvals(A, check_finite=False)", "NaN and infinity are always detected"),
    ("ss.svdvals(A, overwrite_a=True)", "the matrix is never changed"),
    ("ss.svdvals(sparse.csr_array(N))", "x.toarray() is dense"),
    ("ss.svdvals(arpack.aslinearoperator(A))", "x @ np.eye(x.shape[1])"),
    # scikit-learn
    ("ss.randomized_svd(A, n_components=2)", "use k= instead"),
    ("ss.randomized_svd(A, 2, n_iter=4)", "use passes= instead"),
    ("ss.randomized_svd(A, 2, random_state=0)", "use seed= instead"),
    ("ss.randomized_svd(A, 2, n_oversamples=5)", "use oversampling= instead"),
    ("ss.svds(A, 2, n_jobs=-1)", "use num_threads= instead"),
    ("ss.svds(A, 2, verbose=True)", "use progress= instead"),
    ("ss.streaming.Sketch(8, n_components=2)", "use k= instead"),
    # pandas
    ("ss.svdvals(pd.Series(A[0]))", "x.to_frame()"),
    ("ss.svdvals(pd.DataFrame({'a': [1.0], 'b': ['x']}))", "df.select_dtypes"),
    ("ss.svdvals(pd.DataFrame({'a': pd.array([1, None], dtype='Int64')}))", "df.fillna(0)"),
    # torch
    ("ss.svds(torch.from_numpy(A), q=2)", "use k= instead"),
    ("ss.svds(torch.from_numpy(A), 2, niter=2)", "use max_passes= instead"),
    ("ss.svdvals(torch.from_numpy(A).to_sparse())", "x.to_dense()"),
    ("ss.svdvals(torch.from_numpy(A) + 1j)", "np.block"),
    ("ss.svdvals(torch.from_numpy(A).to('meta'))", "load its weights first"),
    ("ss.svdvals(torch.nn.Linear(3, 2))", "ss.scan(x)"),
    ("ss.scan({'w': torch.from_numpy(A)}, reading='mapped')", "these tensors are in memory"),
    ("ss.svdvals(torch.nn.Linear(3, 2).state_dict())", "ss.scan(x)"),
]


def evaluated(line: str) -> Any:
    names = {node.id for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Name)}
    modules: dict[str, Any] = {}
    for name in names & OPTIONAL.keys():
        pytest.importorskip(OPTIONAL[name])
        modules[name] = importlib.import_module(OPTIONAL[name])
    return eval(line, {"ss": ss, "np": np, "A": A, "N": N, "X": X, **modules})


@pytest.mark.parametrize(("line", "same"), TAKEN)
def test_lines_with_a_result(line: str, same: str) -> None:
    result, expected = (np.asarray(evaluated(each), np.float64) for each in (line, same))
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(("line", "words"), REFUSED)
def test_lines_that_are_refused_with_a_way_out(line: str, words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as info:
        evaluated(line)
    message = str(info.value)
    assert words in message
    assert "\n" not in message


def test_there_are_enough_lines() -> None:
    assert len(TAKEN) + len(REFUSED) >= 60
