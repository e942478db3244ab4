# SPDX-License-Identifier: BSD-3-Clause
"""The package as it is installed: version, typing, licences, and NumPy as its only requirement."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import subprocess
import sys
import tarfile
import tomllib
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scikit_build_core import build
from tests.support.native_calls import BY_NAME, SHARED

import sigmascope as ss
from sigmascope import _core

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
STUB = ast.parse((ROOT / "python/sigmascope/_core.pyi").read_text(encoding="utf-8"))

OPTIONAL = [
    *("scipy", "torch", "typer", "rich", "pandas", "pyarrow", "matplotlib"),
    *("ml_dtypes", "safetensors", "threadpoolctl", "pytest"),
]

ALONE = f"""
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np
import sigmascope as ss

A = np.diag(np.arange(5.0, 0.0, -1.0)) @ np.eye(5, 7)
assert np.allclose(ss.svds(A, 2).s, [5, 4]) and np.allclose(ss.svdvals(A), [5, 4, 3, 2, 1])
for module in (ss, ss.results, ss.errors, ss.streaming, ss.adapters, ss.series, ss.diagnosis):
    for name in module.__all__:
        getattr(module, name)
try:
    ss.aslinearoperator(ss.matrix(A))
except ImportError as error:
    print(error)
"""


def test_version_is_that_of_the_project() -> None:
    assert ss.__version__ == PROJECT["version"] == metadata.version("sigmascope")


def test_changelog_has_an_entry_for_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {PROJECT['version']}" in changelog


def test_classifiers_name_the_versions_that_wheels_are_built_for() -> None:
    tags = [tag.removesuffix("-*") for tag in SETTINGS["tool"]["cibuildwheel"]["build"]]
    built = [f"3.{tag.removeprefix('cp3')}" for tag in tags if not tag.endswith("t")]
    start = "Programming Language :: Python :: 3."
    named = [c.removeprefix(start) for c in PROJECT["classifiers"] if c.startswith(start)]
    assert [f"3.{minor}" for minor in named] == built
    assert PROJECT["requires-python"] == f">={built[0]}"


def test_no_extra_limits_the_version_of_torch() -> None:
    for name, requirements in PROJECT["optional-dependencies"].items():
        for requirement in requirements:
            assert not (requirement.startswith("torch") and "<" in requirement), name


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_group_is_installed_by_a_command_and_no_command_names_another() -> None:
    named = re.findall(r"--group (\w+)", text("CONTRIBUTING.md"))
    named += re.findall(r"requirements group (\w+)", text(".ci/run"))
    assert set(named) == set(SETTINGS["dependency-groups"])


def test_commands_name_extras_that_exist() -> None:
    pages = ["README.md", "CONTRIBUTING.md", ".ci/run"]
    pages += [str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")]
    lists = re.findall(r"(?:sigmascope|'\.|\.whl\)?)\[([a-z,]+)\]", "\n".join(map(text, pages)))
    named = {extra for extras in lists for extra in extras.split(",")}
    named.update(re.findall(r"requirements extra (\w+)", text(".ci/run")))
    assert named >= {"cli", "test", "hub", "bench"}
    assert named <= set(PROJECT["optional-dependencies"])


def test_the_source_distribution_has_every_file(tmp_path: Path) -> None:
    """So that tests and links in it find what they name; .ci/run runs those tests from it."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout: what is committed is not known")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with contextlib.chdir(ROOT):
        archive = tmp_path / build.build_sdist(str(tmp_path))
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    committed = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    assert committed - names == set()


def test_package_says_that_it_is_typed() -> None:
    assert resources.files("sigmascope").joinpath("py.typed").is_file()


def test_numpy_is_the_only_requirement() -> None:
    required = [r for r in metadata.requires("sigmascope") or [] if "extra ==" not in r]
    assert len(required) == 1
    assert required[0].startswith("numpy")


def test_core_works_with_numpy_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "scipy" in done.stdout.lower()


def test_notices_of_what_the_wheel_bundles_are_installed() -> None:
    files = [str(file) for file in metadata.files("sigmascope") or []]
    texts = [f"LICENSES/{name}.txt" for name in ("scipy-openblas32", "pybind11", "ggml")]
    for name in ("LICENSE", *texts):
        assert any(file.endswith(f".dist-info/licenses/{name}") for file in files), files


def stub_names(body: list[ast.stmt]) -> set[str]:
    """Return the names that a stub defines, without type aliases and imports."""
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    fields = {ast.unparse(node.target) for node in body if isinstance(node, ast.AnnAssign)}
    return names | fields


def public_names(native: Any) -> set[str]:
    return {name for name in vars(native) if not name.startswith("_")}


def test_stub_lists_what_the_native_module_has() -> None:
    assert stub_names(STUB.body) == public_names(_core)
    classes = [node for node in STUB.body if isinstance(node, ast.ClassDef)]
    for node in classes:
        assert stub_names(node.body) - {"__init__"} == public_names(getattr(_core, node.name))


@pytest.mark.parametrize(
    "function",
    [node for node in STUB.body if isinstance(node, ast.FunctionDef)],
    ids=lambda f: f.name,
)
def test_stub_names_the_arguments_of_the_native_functions(function: ast.FunctionDef) -> None:
    """pybind11 writes its signature into the docstring; what the options take is **kwargs there."""
    signature = (inspect.getdoc(getattr(_core, function.name)) or "").split("\n")[0]
    wanted = [arg.arg for arg in [*function.args.args, *function.args.kwonlyargs]]
    shared = ["threads", "panel_rows", "load_bytes", "progress"]
    known = ["fro2", "fingerprint"]  # of a matrix that was looked at before
    if "**kwargs" in signature:
        wanted = [name for name in wanted if name not in known]
        assert wanted[-4:] == shared
        wanted = wanted[:-4]
    optional = {
        arg.arg
        for arg, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        if default is not None
    }
    read = [name for name in wanted if f"{name}: " not in signature]  # from **kwargs, by name
    if read:
        assert "**kwargs" in signature
        assert set(read) - optional <= set(BY_NAME.get(function.name, {})), function.name
    wanted = [name for name in wanted if name not in read]
    positions = [signature.find(f"{name}: ") for name in wanted]
    assert -1 not in positions, (signature, wanted)
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("name", "missing"),
    [(name, missing) for name, call in BY_NAME.items() for missing in (None, *call)],
)
def test_native_functions_name_an_argument_that_is_missing(name: str, missing: str | None) -> None:
    matrix = ss.matrix(np.random.default_rng(0).standard_normal((9, 6))).native
    call = {key: value for key, value in BY_NAME[name].items() if key != missing}
    if missing is None:
        assert getattr(_core, name)(matrix, **call, **SHARED)["converged"]
        return
    with pytest.raises(TypeError, match=missing):
        getattr(_core, name)(matrix, **call, **SHARED)
