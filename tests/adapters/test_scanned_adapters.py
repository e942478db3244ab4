# SPDX-License-Identifier: BSD-3-Clause
"""LoRA adapters: scanned exactly, and set against their base."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.support.adapters import DOWN, Q, assert_close, dense, factors, lora, write_adapter
from tests.support.families import FAMILIES

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.adapters.pairing import changes
from sigmascope.results import Scan

# --------------------------------------------------------------------------------------- scanned


def written(folder: Path) -> Path:
    tensors = lora(Q, *factors(32, 24)) | lora(DOWN, *factors(24, 48, seed=1))
    return write_adapter(folder, tensors | {"lm_head.weight": np.ones((64, 24), np.float32)})


def test_a_scan_has_a_row_for_every_change(tmp_path: Path) -> None:
    scan = ss.scan(written(tmp_path / "a"), k=8)
    assert [(row["name"], row["status"]) for row in scan] == [
        (f"{Q}.weight", "analysed"),
        (f"{DOWN}.weight", "analysed"),
        ("lm_head.weight", "entrywise"),
    ]
    row = scan[f"{Q}.weight"]
    B, A = factors(32, 24)
    truth = np.linalg.svd(2.0 * B.astype(float) @ A.astype(float), compute_uv=False)
    np.testing.assert_allclose(row["top"], truth[:8], atol=1e-12)
    p = truth[:4] / truth[:4].sum()
    assert row["effective_rank"] == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-12)
    assert row["method"] == "low-rank product, exact"
    assert (row["effort"], row["role"], row["layer"], row["kind"]) == ("exact", "q", 0, "product")
    assert row["mp_edge"] is None
    assert row["alpha"] is None
    assert scan.complete
    assert not scan.failed


def test_scans_are_saved_resumed_planned_and_spread(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    scan = ss.scan(folder, out=tmp_path / "scan.csv", resume=tmp_path / "scan.jsonl")
    assert len(Scan.load(tmp_path / "scan.csv")) == 3
    again = ss.scan(folder, resume=tmp_path / "scan.jsonl")
    assert again.rows == scan.rows
    with ThreadPoolExecutor(2) as pool:
        spread = ss.scan(open_adapter(folder), executor=pool, workers=2)
    timing = ("seconds", "num_threads")
    assert [{k: v for k, v in row.items() if k not in timing} for row in spread] == [
        {k: v for k, v in row.items() if k not in timing} for row in scan
    ]
    plan = ss.scan(folder, plan=True)
    assert [(t.effort, t.rows, t.columns) for t in plan] == [("exact", 32, 24), ("exact", 24, 48)]
    assert not plan.refused


def test_other_settings_are_another_scan(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    ss.scan(folder, resume=tmp_path / "scan.jsonl")
    path = folder / "adapter_config.json"
    path.write_text(path.read_text().replace('"lora_alpha": 8', '"lora_alpha": 9'))
    with pytest.raises(ValueError, match=r"adapter_config.json has different content"):
        ss.scan(folder, resume=tmp_path / "scan.jsonl")


def test_each_of_several_adapters_must_be_the_same(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_adapter(tmp_path / "a" / name, lora(Q, *factors(32, 24)))
    scan = ss.scan(tmp_path / "a", resume=tmp_path / "scan.jsonl")
    assert [file["name"] for file in scan.files][:2] == [
        "first/adapter_model.safetensors",
        "first/adapter_config.json",
    ]
    write_adapter(tmp_path / "a" / "first", lora(Q, *factors(32, 24)), lora_alpha=9)
    with pytest.raises(ValueError, match=r"first/adapter_config.json has different content"):
        ss.scan(tmp_path / "a", resume=tmp_path / "scan.jsonl")


def test_nan_in_a_factor_fails_its_row(tmp_path: Path) -> None:
    B, A = factors(32, 24)
    A[1, 2] = np.nan
    write_adapter(tmp_path, lora(Q, B, A))
    (row,) = ss.scan(tmp_path).rows
    assert (row["status"], row["failure"]) == ("failed", "data")
    assert "factor A of a product holds 1 NaN" in row["reason"]


def test_an_adapter_is_pickled_as_its_path(tmp_path: Path) -> None:
    adapter = open_adapter(written(tmp_path), rules={"modules": [["mine", "q_proj"]]})
    again = pickle.loads(pickle.dumps(adapter))
    assert again.info() == adapter.info()
    assert again.roles[f"{Q}.weight"].role == "mine"
    with pytest.raises(ValueError, match="was opened with reading 'buffered', not 'mapped'"):
        ss.scan(adapter, reading="mapped")


# ------------------------------------------------------------------------------ against its base


def test_changes_of_a_base(tmp_path: Path) -> None:
    base = FAMILIES["llama"].opened(tmp_path / "base")
    B, A = factors(32, 32)
    adapter = open_adapter(write_adapter(tmp_path / "a", lora(Q, B, A)))
    result = changes(base, adapter)
    assert result.pairs == ((f"{Q}.weight", f"{Q}.weight", "name"),)
    (change,) = result
    W = np.asarray(base[f"{Q}.weight"])
    assert_close(np.asarray(change.after()), W + 2 * B @ A)
    np.testing.assert_array_equal(np.asarray(change.before), W)
    assert change.after().nbytes == change.before.nbytes + 4 * 4 * 32


def test_changes_are_paired_by_role_under_other_prefixes(tmp_path: Path) -> None:
    base = FAMILIES["qwen3_vl"].opened(tmp_path / "base")  # model.language_model.layers
    adapter = open_adapter(write_adapter(tmp_path / "a", lora(Q, *factors(32, 32))))
    name = "model.language_model.layers.0.self_attn.q_proj.weight"
    assert changes(base, adapter).pairs == ((name, f"{Q}.weight", "role"),)


def test_what_has_no_partner_is_listed(tmp_path: Path) -> None:
    base = FAMILIES["llama"].opened(tmp_path / "base")
    tensors = (
        lora("model.layers.9.self_attn.q_proj", *factors(32, 32))
        | lora("model.layers.0.self_attn.k_proj", *factors(8, 32))
        | lora("my.own.module", *factors(8, 32))
        | {"lm_head.weight": np.ones((64, 32), np.float32)}
    )
    result = changes(base, open_adapter(write_adapter(tmp_path / "a", tensors)))
    assert len(result) == 0
    assert {name: reason.split(", ")[0] for name, reason in result.unpaired.items()} == {
        "model.layers.9.self_attn.q_proj.weight": f"{base.path} has neither "
        "model.layers.9.self_attn.q_proj.weight nor exactly one weight of its role",
        "model.layers.0.self_attn.k_proj.weight": "model.layers.0.self_attn.k_proj.weight of "
        "model.safetensors is [16",
        "my.own.module.weight": f"{base.path} has neither my.own.module.weight nor "
        "exactly one weight of its role",
        "lm_head.weight": "saved whole",
    }


@pytest.mark.parametrize("heads", [False, True])
def test_changes_of_parts_of_a_fused_weight(heads: bool, tmp_path: Path) -> None:
    """GPT-2: fused q, k and v, stored transposed, and so is their change (fan_in_fan_out)."""
    base = FAMILIES["gpt2"].opened(tmp_path / "base", heads=heads)
    B, A = factors(96, 32)
    module = "transformer.h.0.attn.c_attn"
    adapter = write_adapter(tmp_path / "a", lora(module, B, A), fan_in_fan_out=True)
    result = changes(base, open_adapter(adapter))
    truth = 2 * (B @ A).T
    assert len(result) == (12 if heads else 3)
    assert_close(np.hstack([dense(change.delta) for change in result]), truth)
    for change in result:
        assert_close(np.asarray(change.after()), np.asarray(change.before) + dense(change.delta))
        assert change.name in base


def test_changes_of_a_base_with_gaps_between_the_rows_of_a_part(tmp_path: Path) -> None:
    base = FAMILIES["falcon_new"].opened(tmp_path / "base")
    module = "transformer.h.0.self_attention.query_key_value"
    B, A = factors(64, 32)
    result = changes(base, open_adapter(write_adapter(tmp_path / "a", lora(module, B, A))))
    whole = (2 * B @ A).reshape(2, 4, 8, 32)
    parts = {change.name[-2]: dense(change.delta) for change in result}
    assert_close(parts["q"], whole[:, :2].reshape(32, 32))
    assert_close(parts["k"], whole[:, 2].reshape(16, 32))


def test_a_base_that_keeps_its_weights_turned(tmp_path: Path) -> None:
    base = FAMILIES["gpt2"].opened(tmp_path / "base")
    module = "transformer.h.0.mlp.c_fc"
    B, A = factors(128, 32)
    result = changes(base, open_adapter(write_adapter(tmp_path / "a", lora(module, B, A))))
    (change,) = result
    assert change.before.shape == change.delta.shape == (32, 128)
    assert_close(dense(change.delta), 2 * (B @ A).T)
