# SPDX-License-Identifier: BSD-3-Clause
"""Quantised layouts of other packages, which they register as entry points."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, record, write_file
from tests.support.readers import forget_other_packages
from tests.support.sources import ROOT, text_of

import sigmascope as ss
from sigmascope.errors import CheckpointError

PAGE = text_of(ROOT / "docs" / "extending.md")
EXAMPLE = next(
    code for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if "LAYOUT" in code
)

RNG = np.random.default_rng(0)
CODES = RNG.integers(-128, 128, (6, 4)).astype(np.int8)
SCALES = RNG.uniform(0.1, 1, 6).astype(np.float32)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Look for entry points anew in each test, and after the last one."""
    forget_other_packages()
    yield
    forget_other_packages()


def register(
    folder: Path, monkeypatch: pytest.MonkeyPatch, target: str, package: str = "toy-layout"
) -> None:
    """Put the example of the page on the path of modules, as a package with an entry point."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "toy_layout.py").write_text(EXAMPLE)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[sigmascope.quantised_layouts]\ntoy = {target}\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "toy_layout", raising=False)


def model(folder: Path, method: str = "toy") -> Path:
    folder.mkdir()
    settings = {"quantization_config": {"quant_method": method}}
    (folder / "config.json").write_text(json.dumps(settings))
    tensors = of_array("up_proj.codes", "I8", CODES), of_array("up_proj.scales", "F32", SCALES)
    write_file(folder / "model.safetensors", *tensors)
    return folder


def test_the_layout_of_the_page_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(tmp_path / "site", monkeypatch, "toy_layout:LAYOUT")
    checkpoint = ss.open_checkpoint(model(tmp_path / "model"))
    np.testing.assert_array_equal(np.asarray(checkpoint["up_proj.weight"]), CODES * SCALES[:, None])
    codes, scales = (record(checkpoint, f"up_proj.{end}") for end in ("codes", "scales"))
    assert (codes["role"], codes["view"]) == ("up", "bytes of toy, scale per row")
    assert (scales["status"], scales["role"]) == ("scale", "up.scale")
    (row,) = (row for row in ss.scan(tmp_path / "model").rows if row["status"] == "analysed")
    assert (row["name"], row["shape"]) == ("up_proj.weight", [6, 4])


def test_what_disagrees_is_the_reason_of_its_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "site", monkeypatch, "toy_layout:LAYOUT")
    folder = model(tmp_path / "model")
    tensors = of_array("up_proj.codes", "I8", CODES), of_array("up_proj.scales", "F32", SCALES[1:])
    write_file(folder / "model.safetensors", *tensors)
    assert ss.open_checkpoint(folder).unreadable == {
        "up_proj.codes": "quantised weight (toy): up_proj.scales has shape [5], where [6] would "
        "fit the codes"
    }


def test_two_layouts_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "site", monkeypatch, "toy_layout:LAYOUT")
    register(tmp_path / "again", monkeypatch, "toy_layout:LAYOUT", package="toy-again")
    message = r"layout 'toy' of the package toy-\w+ .* has the name of layout 'toy' of the package"
    with pytest.raises(CheckpointError, match=message):
        ss.open_checkpoint(model(tmp_path / "model"))


def test_a_layout_is_imported_for_a_model_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "site", monkeypatch, "toy_layout:LAYOUT")
    assert "up_proj.weight" not in ss.open_checkpoint(model(tmp_path / "other", "strange"))
    assert "toy_layout" not in sys.modules


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("toy_layout:NONE", "cannot be imported: AttributeError"),
        ("no_such_module:LAYOUT", "cannot be imported: ModuleNotFoundError"),
        ("toy_layout:rows_weight", "is a function, not a QuantisedLayout"),
    ],
)
def test_a_layout_that_cannot_be_used_is_named(
    target: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "site", monkeypatch, target)
    with pytest.raises(CheckpointError) as refusal:
        ss.open_checkpoint(model(tmp_path / "model"))
    label = f"layout 'toy' of the package toy-layout ({target}) "
    assert f"{label}{message}" in str(refusal.value)
