# SPDX-License-Identifier: BSD-3-Clause
"""Adapters are refused before any weight is read, with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.adapters import factors, lora, write_adapter
from tests.support.lineage_files import saved
from tests.support.lineage_models import name, random_model, tuned

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.provenance import fingerprint, group_by_lineage, lineage
from sigmascope.provenance.lineages.reading import MatrixReader

A = random_model(1)
REASON = r"is an adapter: .*related to nothing .*merged model, which .*apply.*verify"
UP = name(0, "up").removesuffix(".weight")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "adapter", lora(UP, *factors(128, 64)))


def test_adapters_are_refused_before_any_reading(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notices an adapter that is seen after the other file was read, or compared as a model."""
    model = saved(tmp_path / "model", A)

    def refuse_to_read(*_: object) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(MatrixReader, "read_rows", refuse_to_read)
    monkeypatch.setattr(MatrixReader, "gain", refuse_to_read)
    for pair in ((model, adapter), (adapter, model), (model, open_adapter(adapter))):
        with pytest.raises(ValueError, match=REASON) as error:
            lineage(*pair)
        assert str(adapter) in str(error.value)
    with pytest.raises(ValueError, match=REASON):
        group_by_lineage([model, model, adapter])
    with pytest.raises(ValueError, match=REASON):
        fingerprint(adapter)


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
        "base_model.model.model.layers.0.mlp.up_proj.LoRA_up.weight",
        "blk.0.ffn_up.weight.lora_a",
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
        "lycoris_layers_0_mlp.hada_w1_a",
        "lycoris_layers_0_mlp.lokr_w1",
        "base_model.model.model.layers.0.self_attn.q_proj.oft_r",
        "base_model.model.model.layers.0.self_attn.q_proj.vera_lambda_b",
    ],
)
def test_adapters_are_known_by_their_names(key: str) -> None:
    """Also if they hold a new embedding, as PEFT's modules_to_save do."""
    saved_beside = {"base_model.model.model.embed_tokens.weight": np.eye(20)}
    for more in ({}, saved_beside):
        with pytest.raises(ValueError, match="is an adapter"):
            lineage({key: np.ones((20, 4)), **more}, A)


def test_models_that_contain_an_adapter_are_compared() -> None:
    """Some models keep their weights and a LoRA for images in the same files."""
    both = {**tuned(A, 1), f"{UP}.lora_A.vision.weight": np.ones((4, 64), np.float32)}
    assert "lora_A" in ss.open_checkpoint(both).roles[f"{UP}.lora_A.vision.weight"].role
    assert lineage(A, both).verdict == "related layers"
