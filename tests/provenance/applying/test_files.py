# SPDX-License-Identifier: BSD-3-Clause
"""Written files: shards, indexes, copied bytes, and folders that are refused."""

from __future__ import annotations

import errno
import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.support.written_models import (
    QUERY,
    bytes_of,
    codes,
    make_adapter,
    make_model,
    make_tuned,
    read_folder,
)

from sigmascope import Resources, open_checkpoint
from sigmascope.errors import CheckpointError
from sigmascope.provenance import Application, apply
from sigmascope.provenance.applying import blocks
from sigmascope.provenance.applying.shards import read_size

FIRST = QUERY.format(0)


@pytest.fixture
def model(tmp_path: Path) -> dict[str, torch.Tensor]:
    """A base and an adapter in the folder of the test."""
    make_adapter(tmp_path / "adapter")
    return make_model(tmp_path / "base")


def applied(folder: Path, out: str = "out", **options: Any) -> Application:
    return apply(folder / "base", folder / out, folder / "adapter", **options)


def test_shards_have_an_index_and_aligned_numbers(
    model: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    result = applied(tmp_path, shard_size="2KB")
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == model.keys()
    sizes = [x.numel() * x.element_size() for x in model.values()]
    assert index["metadata"]["total_size"] == sum(sizes)
    files = sorted(set(index["weight_map"].values()))
    assert files == [f"model-{i:05}-of-00003.safetensors" for i in (1, 2, 3)]
    assert set(files) | {"config.json", "tokenizer.json"} == set(result.files)
    for name, file in index["weight_map"].items():
        with safe_open(tmp_path / "out" / file, "pt") as opened:
            assert opened.metadata() == {"format": "pt"}
            assert opened.get_tensor(name).shape == model[name].shape
    assert len(open_checkpoint(tmp_path / "out")) == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *result.files,
        "model.safetensors.index.json",
    }


def test_bytes_depend_on_neither_blocks_nor_shards(
    model: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tuned(tmp_path / "tuned", model, 3)
    donors = [tmp_path / "adapter", tmp_path / "tuned"]
    expected: dict[str, Any] = {}
    for number, (block, shard) in enumerate(
        [(1 << 17, "5GB"), (50, "2KB"), (36, "3000"), (7, "1")]
    ):
        monkeypatch.setattr(blocks, "BLOCK", block)
        monkeypatch.setattr(blocks, "COPIED", block)
        out = tmp_path / f"out{number}"
        apply(tmp_path / "base", out, donors, weights=[0.5, 0.25], shard_size=shard)
        tensors = {name: codes(x) for name, x in read_folder(out).items()}
        expected = expected or tensors
        assert tensors == expected


def test_bytes_and_rows_do_not_depend_on_the_number_of_threads(
    model: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notices blocks that are written as they finish, and sums in that order."""
    make_tuned(tmp_path / "tuned", model, 3)
    donors = [tmp_path / "adapter", tmp_path / "tuned"]
    monkeypatch.setattr(blocks, "BLOCK", 36)
    results = []
    for threads in (1, 5):
        out = tmp_path / f"out{threads}"
        with Resources(num_threads=threads):
            rows = apply(tmp_path / "base", out, donors, weights=[0.5, 0.25]).rows
        results.append(((out / "model.safetensors").read_bytes(), rows))
    assert results[0] == results[1]
    assert any(row["status"] == "changed" for row in results[0][1])


def test_a_sharded_base_gives_the_tensors_of_a_single_file(
    model: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    applied(tmp_path)
    shutil.move(tmp_path / "base", tmp_path / "single")
    (tmp_path / "base").mkdir()
    names = list(model)
    parts = {"a": names[:2], "b": names[2:]}
    for part, own in parts.items():
        save_file({n: model[n] for n in own}, tmp_path / f"base/{part}.safetensors")
    weight_map = {name: f"{part}.safetensors" for part, own in parts.items() for name in own}
    index = tmp_path / "base/model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert applied(tmp_path, "again").confirmed
    first, second = read_folder(tmp_path / "out"), read_folder(tmp_path / "again")
    assert {n: codes(x) for n, x in first.items()} == {n: codes(x) for n, x in second.items()}
    assert not (tmp_path / "again/model.safetensors.index.json").exists()


def test_nan_and_infinities_of_the_base_keep_their_bits(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    make_adapter(tmp_path / "adapter")
    patterns = torch.tensor([0x7FC1, 0xFF81 - 0x10000, 0x7F80, 0xFF80 - 0x10000]).to(torch.int16)
    base[FIRST].view(torch.int16)[0, :4] = patterns
    save_file(base, tmp_path / "base/model.safetensors")
    result = applied(tmp_path)
    written = load_file(tmp_path / "out/model.safetensors")[FIRST]
    assert torch.equal(written.view(torch.int16)[0, :4], patterns)
    assert bool(torch.isfinite(written[1:]).all())
    row = next(row for row in result.rows if row["name"] == FIRST)
    assert row["overflowed"] == 0
    assert row["survived"] == pytest.approx(1, abs=0.05)


def test_numbers_that_overflow_are_counted(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", torch.float32)
    base[FIRST][2, 3] = 1e6
    save_file(base, tmp_path / "base/model.safetensors")
    make_adapter(tmp_path / "adapter")
    result = applied(tmp_path, dtype="f16")
    assert next(row for row in result.rows if row["name"] == FIRST)["overflowed"] == 1
    assert f"1 number in 1 tensor overflowed, the first in {FIRST}." in result.sentences
    assert bool(torch.isinf(load_file(tmp_path / "out/model.safetensors")[FIRST][2, 3]))


def test_codes_and_scales_of_a_quantised_base_are_copied(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    codes8 = torch.randn(16, 16).to(torch.float8_e4m3fn)
    base |= {"model.layers.0.mlp.up_proj.weight": codes8}
    base |= {"model.layers.0.mlp.up_proj.weight_scale_inv": torch.rand(1, 1)}
    save_file(base, tmp_path / "base/model.safetensors")
    make_adapter(tmp_path / "adapter")
    result = applied(tmp_path, dtype="f16")
    assert result.confirmed, result.sentences
    written = read_folder(tmp_path / "out")
    for name in ("up_proj.weight", "up_proj.weight_scale_inv"):
        assert codes(written[f"model.layers.0.mlp.{name}"]) == codes(
            base[f"model.layers.0.mlp.{name}"]
        )
    make_adapter(tmp_path / "other")
    config = tmp_path / "other/adapter_model.safetensors"
    changed = {
        n.replace("self_attn.q_proj", "mlp.up_proj"): x for n, x in load_file(config).items()
    }
    changed = {n: x[:, :16] if "lora_A" in n else x[:16] for n, x in changed.items()}
    save_file({n: x.contiguous() for n, x in changed.items()}, config)
    with pytest.raises(ValueError, match="cannot be added to its codes"):
        apply(tmp_path / "base", tmp_path / "none", tmp_path / "other")
    assert not (tmp_path / "none").exists()


def test_the_configuration_names_the_written_format(
    model: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    config = {"torch_dtype": "bfloat16", "text_config": {"dtype": "bfloat16"}, "hidden": 1}
    (tmp_path / "base/config.json").write_text(json.dumps(config))
    applied(tmp_path, dtype="f32")
    written = json.loads((tmp_path / "out/config.json").read_text())
    expected = {"torch_dtype": "float32", "text_config": {"dtype": "float32"}, "hidden": 1}
    assert written == expected
    applied(tmp_path, "same")
    assert json.loads((tmp_path / "same/config.json").read_text()) == config


def test_folders_with_other_files_are_refused(
    model: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="holds the base"):
        applied(tmp_path, "base")
    applied(tmp_path)
    before = bytes_of(tmp_path / "out")
    with pytest.raises(ValueError, match="already holds files"):
        applied(tmp_path)
    assert bytes_of(tmp_path / "out") == before
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is not a folder"):
        applied(tmp_path, "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [1, 2]}, "2 weights for 1 donors"),
        ({"weights": [float("nan")]}, "weights must be finite"),
        ({"dtype": "f8"}, "dtype must be"),
        ({"shard_size": "5 parsecs"}, "is not a size"),
    ],
)
def test_wrong_options_are_refused(
    model: dict[str, torch.Tensor], tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        applied(tmp_path, **options)
    assert not (tmp_path / "out").exists()


def test_changes_that_cannot_be_carried_are_refused_before_anything_is_written(
    model: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    def refused(message: str, donor: str) -> None:
        with pytest.raises(ValueError, match=message):
            apply(tmp_path / "base", tmp_path / "out", tmp_path / donor)
        assert not (tmp_path / "out").exists()

    make_adapter(tmp_path / "deep", layer=9)
    refused("cannot be carried", "deep")
    make_adapter(tmp_path / "nan")
    weights = load_file(tmp_path / "nan/adapter_model.safetensors")
    next(iter(weights.values()))[0, 0] = torch.nan
    save_file(weights, tmp_path / "nan/adapter_model.safetensors")
    refused("has NaN or infinite numbers", "nan")
    fewer = make_tuned(tmp_path / "fewer", model, 1)
    del fewer["model.norm.weight"]
    save_file(fewer, tmp_path / "fewer/model.safetensors")
    refused("model.norm.weight has no partner in donor 1", "fewer")
    others = make_tuned(tmp_path / "others", model, 1)
    others["model.positions"] = torch.arange(7) + 1
    save_file(others, tmp_path / "others/model.safetensors")
    refused("its integers differ", "others")


def test_a_base_in_another_format_is_refused(tmp_path: Path) -> None:
    make_adapter(tmp_path / "adapter")
    (tmp_path / "base").mkdir()
    torch.save({FIRST: torch.zeros(24, 36)}, tmp_path / "base/pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        applied(tmp_path)
    with pytest.raises(ValueError, match="in memory"):
        apply({FIRST: np.zeros((24, 36), np.float32)}, tmp_path / "out", tmp_path / "adapter")
    with pytest.raises(ValueError, match="is an adapter"):
        apply(tmp_path / "adapter", tmp_path / "out", tmp_path / "adapter")


def test_too_little_space_is_reported_before_anything_is_written(
    model: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100))
    with pytest.raises(OSError, match="100 are free") as error:
        applied(tmp_path)
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert applied(tmp_path).confirmed


def test_sizes_of_files_have_units() -> None:
    assert read_size("5GB") == 5 * 10**9
    assert read_size("1.5 MiB") == 3 << 19
    assert read_size("77") == 77
