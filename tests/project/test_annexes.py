# SPDX-License-Identifier: BSD-3-Clause
"""Annexes lean on public names of the house, and the house does without them."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tests.project.test_architecture import ANNEXES, home_of, imports
from tests.support.sources import PACKAGE, ROOT, imports_of, sources, text_of

from sigmascope._host.formats import REGISTERED
from sigmascope.checkpoint.formats.readers import FORMATS


def test_annexes_import_public_names_and_nothing_imports_them() -> None:
    """But the package itself, for type checkers alone."""
    for path in sources(PACKAGE, ".py"):
        home = home_of(path)
        if home in ANNEXES:
            for module, name in names_imported(path):
                assert name in {*import_module(module).__all__, "__version__"}, (
                    f"{path.relative_to(ROOT)}: {name} is not a public name of {module}"
                )
        for result in imports(path):
            if result.target in ANNEXES and result.target != home:
                assert home == "package", f"{path.relative_to(ROOT)}: {home} uses an annex"
                assert result.deferred


def test_entry_points_are_objects_of_annexes() -> None:
    groups = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["entry-points"]
    for group, points in groups.items():
        for name, target in points.items():
            module, _, attribute = target.partition(":")
            assert module.split(".")[1] in ANNEXES, f"{group}: {name}"
            assert hasattr(import_module(module), attribute), f"{group}: {name}"
    assert REGISTERED.keys() == groups["sigmascope.readers"].keys()
    assert list(REGISTERED) == [each for each in FORMATS if isinstance(each, str)]


def names_imported(path: Path) -> Iterator[tuple[str, str]]:
    """Give the names that an annex imports of modules outside itself, with these modules."""
    annex = f"sigmascope.{home_of(path)}"
    for node, _ in imports_of(path):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole.startswith("sigmascope.") and not f"{whole}.".startswith(f"{annex}."):
                    yield node.module, alias.name
        elif isinstance(node, ast.Import):
            ours = [alias.name for alias in node.names if alias.name.startswith("sigmascope")]
            assert not ours, f"{path.relative_to(ROOT)}: import names, not {ours[0]}"
