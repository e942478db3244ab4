# SPDX-License-Identifier: BSD-3-Clause
"""Folders as tools leave them: the cache of the Hub with revisions, and variants of diffusers."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.support.adapters import Q, factors, lora, write_adapter
from tests.support.checkpoints import of_array, write_file

import sigmascope as ss
from sigmascope.adapters import Adapter
from sigmascope.adapters.scannable import as_scannable
from sigmascope.checkpoint.formats.variants import variants_of
from sigmascope.errors import CheckpointError


def saved(path: Path, value: float, name: str = "w", dtype: str = "F32") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"F32": np.float32, "F16": np.float16}[dtype]
    return write_file(path, of_array(name, dtype, np.full((3, 2), value, kind)))


def value_of(checkpoint: ss.Checkpoint) -> float:
    return float(ss.svdvals(checkpoint["w"]).values[0] / 6**0.5)


# ----------------------------------------------------------------------------------- revisions


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """A model with two revisions, whose files are links to blobs."""
    model = tmp_path / "models--owner--name"
    for revision, value in (("aaa111", 1.0), ("bbb222", 2.0)):
        blob = saved(model / "blobs" / f"{revision}.safetensors", value)
        snapshot = model / "snapshots" / revision
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").symlink_to(os.path.relpath(blob, snapshot))
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("bbb222", encoding="ascii")
    return model


def test_the_current_revision_is_read(cached: Path) -> None:
    checkpoint = ss.open_checkpoint(cached)
    assert checkpoint.files == (cached / "snapshots" / "bbb222" / "model.safetensors",)
    assert value_of(checkpoint) == pytest.approx(2.0)
    (cached / "refs" / "main").write_text("aaa111\n", encoding="ascii")
    assert value_of(ss.open_checkpoint(cached)) == pytest.approx(1.0)


def test_the_only_revision_needs_no_name(cached: Path) -> None:
    (cached / "refs" / "main").unlink()
    with pytest.raises(CheckpointError, match=r"no refs/main; .*'aaa111', 'bbb222'"):
        ss.open_checkpoint(cached)
    (cached / "snapshots" / "aaa111" / "model.safetensors").unlink()
    (cached / "snapshots" / "aaa111").rmdir()
    assert value_of(ss.open_checkpoint(cached)) == pytest.approx(2.0)


@pytest.mark.parametrize("named", ["ccc333", "../../elsewhere", "", "\xe4"])
def test_a_revision_that_is_not_there_is_named(cached: Path, named: str) -> None:
    (cached / "refs" / "main").write_text(named, encoding="latin-1")
    with pytest.raises(CheckpointError, match="main"):
        ss.open_checkpoint(cached)


def test_an_adapter_in_the_cache_is_one(tmp_path: Path) -> None:
    model = tmp_path / "models--owner--adapter"
    write_adapter(model / "snapshots" / "abc", lora(Q, *factors(32, 24)))
    result = as_scannable(model)
    assert isinstance(result, Adapter)
    assert list(result) == [f"{Q}.weight"]
    assert list(pickle.loads(pickle.dumps(result))) == list(result)


# ------------------------------------------------------------------------------------ variants


def test_names_of_variants() -> None:
    names = [
        "unet.safetensors",
        "unet.fp16.safetensors",
        "unet.non_ema.safetensors",
        "vae-00001-of-00002.safetensors",
        "vae-00001-of-00001.fp16.safetensors",
        "vae.bf16-00001-of-00001.safetensors",
        "vae.safetensors.index.json",
        "vae.safetensors.index.fp16.json",
        "unet.layer1.safetensors",
        "alone.fp16.safetensors",
    ]
    assert variants_of(names) == {
        "unet.fp16.safetensors": "fp16",
        "unet.non_ema.safetensors": "non_ema",
        "vae-00001-of-00001.fp16.safetensors": "fp16",
        "vae.bf16-00001-of-00001.safetensors": "bf16",
        "vae.safetensors.index.fp16.json": "fp16",
    }


def test_a_variant_is_a_choice(tmp_path: Path) -> None:
    saved(tmp_path / "diffusion_pytorch_model.safetensors", 1.0)
    saved(tmp_path / "diffusion_pytorch_model.fp16.safetensors", 2.0, dtype="F16")
    plain = ss.open_checkpoint(tmp_path)
    assert value_of(plain) == pytest.approx(1.0)
    assert plain.notes == (
        "files not part of the checkpoint: 'diffusion_pytorch_model.fp16.safetensors' (the option "
        "variant selects fp16)",
    )
    half = ss.open_checkpoint(tmp_path, variant="fp16")
    assert value_of(half) == pytest.approx(2.0)
    assert half.choices == {"variant": "fp16"}
    assert value_of(pickle.loads(pickle.dumps(half))) == pytest.approx(2.0)
    assert ss.scan(half).options["variant"] == "fp16"
    with pytest.raises(CheckpointError, match=r"no variant 'bf16'; .* there: fp16"):
        ss.open_checkpoint(tmp_path, variant="bf16")
    with pytest.raises(CheckpointError, match="needs a folder"):
        ss.open_checkpoint(plain.files[0], variant="fp16")


def test_a_variant_in_shards_has_an_index_of_its_own(tmp_path: Path) -> None:
    saved(tmp_path / "model.safetensors", 1.0)
    for i, name in enumerate("wv", 1):
        saved(tmp_path / f"model.fp16-0000{i}-of-00002.safetensors", 2.0, name, "F16")
    assert value_of(ss.open_checkpoint(tmp_path)) == pytest.approx(1.0)
    assert len(ss.open_checkpoint(tmp_path, variant="fp16")) == 2
    index = {
        "weight_map": {
            n: f"model.fp16-0000{i}-of-00002.safetensors" for i, n in ((1, "w"), (2, "v"))
        }
    }
    (tmp_path / "model.safetensors.index.fp16.json").write_text(json.dumps(index), encoding="utf-8")
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"w": "model.safetensors"}}), encoding="utf-8"
    )
    assert len(ss.open_checkpoint(tmp_path, variant="fp16")) == 2
    assert len(ss.open_checkpoint(tmp_path)) == 1


def test_the_only_precision_needs_no_choice(tmp_path: Path) -> None:
    saved(tmp_path / "model.fp16.safetensors", 2.0, dtype="F16")
    assert value_of(ss.open_checkpoint(tmp_path)) == pytest.approx(2.0)
