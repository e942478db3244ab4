# SPDX-License-Identifier: BSD-3-Clause
"""GGUF files: every tensor is read or named with a reason; shards, roles, heads, scales."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from tests.support.checkpoints import of_array, record, write_file
from tests.support.command_line import invoke
from tests.support.gguf_files import finite_rows, framed, info, pair, write_gguf
from tests.support.gguf_models import HEAD, HEADS, converted, weights

import sigmascope as ss
from sigmascope.errors import CheckpointError

BLOCKS = (
    "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ2_XXS IQ2_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S "
    "IQ2_S IQ4_XS IQ1_M TQ1_0 TQ2_0 MXFP4 NVFP4"
)
"""Layouts of blocks that llama.cpp stores."""

Tensors = dict[str, tuple[str, Any]]


def normal(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def dequantised(kind: str, rows: Any) -> Any:
    rows = rows.view("u1") if kind == "BF16" else rows
    return gguf.dequantize(rows, gguf.GGMLQuantizationType[kind])


def test_a_file_that_the_gguf_package_wrote_and_reads(tmp_path: Path) -> None:
    path = converted(tmp_path / "model.gguf", weights(layers=1))
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    checkpoint = ss.open_checkpoint(path)
    assert checkpoint.notes == ()
    assert checkpoint.architecture == "llama"
    assert [r["name"] for r in checkpoint.info()] == list(theirs)
    for result in checkpoint.info():
        tensor = theirs[result["name"]]
        assert result["dtype"] == tensor.tensor_type.name
        assert result["shape"] == tuple(reversed(tensor.shape.tolist()))
        assert (result["offset"], result["nbytes"]) == (tensor.data_offset, tensor.n_bytes)
    for name, a in checkpoint.items():
        if "attn_q" not in name and "attn_k" not in name:
            wanted = gguf.dequantize(theirs[name].data, theirs[name].tensor_type)
            np.testing.assert_array_equal(np.asarray(a), wanted)
    assert record(checkpoint, "blk.0.attn_norm.weight")["status"] == "vector"


def test_every_type_is_read_or_has_a_reason(tmp_path: Path) -> None:
    tensors: Tensors = {name: (name, finite_rows(name, 6, 2)) for name in BLOCKS.split()}
    tensors |= {"F32": ("F32", normal(4, 5)), "F64": ("F64", normal(4, 5).astype("f8"))}
    tensors |= {"F16": ("F16", normal(4, 5).astype("f2"))}
    tensors |= {"BF16": ("BF16", (normal(4, 5).view("u4") >> 16).astype("u2"))}
    tensors |= {f"I{8 * n}": (f"I{8 * n}", np.ones((2, 3), f"i{n}")) for n in (1, 2, 4, 8)}
    tensors |= {
        "Q8_1": ("Q8_1", np.zeros((2, 36), "u1")),
        "Q1_0": ("Q1_0", np.zeros((2, 18), "u1")),
    }
    checkpoint = ss.open_checkpoint(write_gguf(tmp_path / "x.gguf", tensors))
    decoded = [name for name in tensors if not name.startswith(("I8", "I16", "I32", "I64"))]
    assert list(checkpoint) == [n for n in decoded if n not in ("Q8_1", "Q1_0")]
    for name, a in checkpoint.items():
        kind, stored = tensors[name]
        wanted = stored if kind == "F64" else dequantised(kind, stored)
        np.testing.assert_array_equal(np.asarray(a), wanted)
        assert checkpoint.record_of(name)["nbytes"] == stored.nbytes
    assert record(checkpoint, "I16")["status"] == "integer"
    assert checkpoint.unreadable == {
        "Q8_1": "dtype Q8_1 is not decoded: llama.cpp uses it in products and does not store it",
        "Q1_0": "dtype Q1_0 is not decoded: this version does not know the layout",
    }


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (77, "dtype GGML_77 is not decoded: this version does not know the type"),
        (
            31,
            "dtype Q4_0_4_4 is not decoded: llama.cpp no longer reads it; convert the model again",
        ),
    ],
)
def test_a_type_of_unknown_size_has_a_reason(number: int, reason: str, tmp_path: Path) -> None:
    infos = [info("a", (4, 32), number, 0), info("b", (2, 4), "F32", 64)]
    (tmp_path / "x.gguf").write_bytes(framed([], infos, bytes(64) + normal(2, 4).tobytes()))
    checkpoint = ss.open_checkpoint(tmp_path / "x.gguf")
    assert checkpoint.unreadable == {"a": reason}
    np.testing.assert_array_equal(np.asarray(checkpoint["b"]), normal(2, 4))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [32, 8, 4096])
def test_versions_and_alignments(version: int, alignment: int, tmp_path: Path) -> None:
    pairs = [pair("general.alignment", alignment)]
    infos = [info("a", (3, 5), "F32", 0), info("empty", (0, 5), "F32", max(64, alignment))]
    raw = framed(
        pairs, infos, normal(3, 5).tobytes() + bytes(5000), version=version, alignment=alignment
    )
    (tmp_path / "x.gguf").write_bytes(raw)
    checkpoint = ss.open_checkpoint(tmp_path / "x.gguf")
    np.testing.assert_array_equal(np.asarray(checkpoint["a"]), normal(3, 5))
    assert record(checkpoint, "empty")["status"] == "empty"


def test_stacks_of_experts_and_experts_of_their_own(tmp_path: Path) -> None:
    rows = finite_rows("Q4_K", 3 * 4, 1).reshape(3, 4, -1)
    tensors: Tensors = {"blk.2.ffn_gate_exps.weight": ("Q4_K", rows)}
    tensors |= {f"blk.2.ffn_up.{i}.weight": ("F32", normal(4, 8)) for i in range(2)}
    tensors |= {"blk.2.ffn_gate_inp.weight": ("F32", normal(3, 8))}
    checkpoint = ss.open_checkpoint(write_gguf(tmp_path / "x.gguf", tensors))
    wanted = dequantised("Q4_K", rows.reshape(12, -1)).reshape(3, 4, 256)
    for expert in range(3):
        name = f"blk.2.ffn_gate_exps.weight[{expert}]"
        np.testing.assert_array_equal(np.asarray(checkpoint[name]), wanted[expert])
        role = checkpoint.roles[name]
        assert (role.layer, role.role, role.expert) == (2, "gate", expert)
        assert checkpoint.record_of(name)["nbytes"] == 4 * 144
    assert checkpoint.roles["blk.2.ffn_up.1.weight"].expert == 1
    assert checkpoint.roles["blk.2.ffn_gate_inp.weight"].role == "router"


def test_a_scale_of_its_own_multiplies_a_block_layout(tmp_path: Path) -> None:
    """As llama.cpp stores BitNet's ternary weights, and NVFP4 with its second scale."""
    rows = finite_rows("TQ2_0", 4, 1)
    experts = finite_rows("NVFP4", 2 * 4, 2).reshape(2, 4, -1)
    tensors: Tensors = {
        "blk.0.attn_v.weight": ("TQ2_0", rows),
        "blk.0.attn_v.scale": ("F32", np.array([0.25], "f4")),
        "blk.0.ffn_up_exps.weight": ("NVFP4", experts),
        "blk.0.ffn_up_exps.scale": ("F32", np.array([2, 4], "f4")),
    }
    checkpoint = ss.open_checkpoint(write_gguf(tmp_path / "x.gguf", tensors))
    a = np.asarray(checkpoint["blk.0.attn_v.weight"])
    np.testing.assert_array_equal(a, 0.25 * dequantised("TQ2_0", rows))
    for expert, scale in enumerate((2, 4)):
        a = np.asarray(checkpoint[f"blk.0.ffn_up_exps.weight[{expert}]"])
        np.testing.assert_array_equal(a, scale * dequantised("NVFP4", experts[expert]))
    assert record(checkpoint, "blk.0.attn_v.scale")["status"] == "scale"


def test_heads_and_fused_parts_follow_the_metadata(tmp_path: Path) -> None:
    path = converted(tmp_path / "model.gguf", weights(layers=1))
    whole, cut = ss.open_checkpoint(path), ss.open_checkpoint(path, heads=True)
    q = np.asarray(whole["blk.0.attn_q.weight"])
    for head in range(HEADS):
        part = np.asarray(cut[f"blk.0.attn_q.weight[head {head}]"])
        np.testing.assert_array_equal(part, q[HEAD * head : HEAD * (head + 1)])
    assert "blk.0.attn_v.weight[head 1]" in cut
    assert "blk.0.attn_v.weight[head 2]" not in cut
    fused: Tensors = {
        "blk.0.attn_qkv.weight": ("F32", normal(16 + 2 * 8, 16)),
        "blk.0.ffn_up.weight": ("F32", normal(48, 16)),
    }
    for architecture, key in (("phi3", "attn_qkv"), ("bloom", "attn_qkv"), ("phi3", "ffn_up")):
        settings = {
            "general__architecture": architecture,
            f"{architecture}__attention__head_count": 4,
            f"{architecture}__attention__head_count_kv": [2, 2],
            f"{architecture}__embedding_length": 16,
            f"{architecture}__feed_forward_length": 24,
        }
        checkpoint = ss.open_checkpoint(write_gguf(tmp_path / "fused.gguf", fused, **settings))
        parts = ("q", "k", "v") if key == "attn_qkv" else ("gate", "up")
        stored, start = fused[f"blk.0.{key}.weight"][1], 0
        for part in parts:
            a = np.asarray(checkpoint[f"blk.0.{key}.weight[{part}]"])
            np.testing.assert_array_equal(a, stored[start : start + len(a)])
            start += len(a)
        assert start == len(stored)


def shards(folder: Path, **wrong: Any) -> list[Path]:
    paths = []
    for number in range(3):
        tensors: Tensors = {f"blk.{number}.attn_v.weight": ("Q8_0", finite_rows("Q8_0", 4, 2))}
        metadata = {"split__no": number, "split__count": 3, "split__tensors__count": 3}
        metadata |= wrong if number == 1 else {}
        path = folder / f"model-{number + 1:05}-of-00003.gguf"
        paths.append(write_gguf(path, tensors, **metadata))
    return paths


def test_a_shard_stands_for_all(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    for path in (paths[0], paths[2], tmp_path):
        checkpoint = ss.open_checkpoint(path)
        assert list(checkpoint) == [f"blk.{number}.attn_v.weight" for number in range(3)]
        assert list(checkpoint.files) == paths
    again = pickle.loads(pickle.dumps(checkpoint))
    assert list(again) == list(checkpoint)


def test_shards_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"split__no": 2},
            "00002-of-00003.gguf: shard 2 of 3 by its metadata, but 1 of 3 by its name",
        ),
        ({"split__count": 4}, "00002-of-00003.gguf: shard 1 of 4 by its metadata, but 1 of 3"),
        ({"split__count": "3"}, "metadata 'split.count' is '3', not an integer"),
    ]
    for wrong, message in cases:
        first, *_ = shards(tmp_path, **wrong)
        with pytest.raises(CheckpointError, match=message):
            ss.open_checkpoint(first)
    first, second, _ = shards(tmp_path)
    raw = second.read_bytes()
    second.write_bytes(raw.replace(b"blk.1.", b"blk.0."))
    with pytest.raises(CheckpointError, match=r"'blk\.0\.attn_v\.weight' is also in model-00001"):
        ss.open_checkpoint(first)
    second.unlink()
    with pytest.raises(CheckpointError, match="shards missing from the folder: 'model-00002-of"):
        ss.open_checkpoint(first)
    first.rename(tmp_path / "alone.gguf")
    with pytest.raises(CheckpointError, match="its metadata says that it is one of 3 shards"):
        ss.open_checkpoint(tmp_path / "alone.gguf")


def test_tensors_of_all_shards_are_counted(tmp_path: Path) -> None:
    first, *_ = shards(tmp_path)
    raw = first.read_bytes()
    first.write_bytes(raw.replace(pair("split.tensors.count", 3), pair("split.tensors.count", 4)))
    with pytest.raises(CheckpointError, match="all shards have 4 tensors, but they have 3"):
        ss.open_checkpoint(first)


def test_a_folder_has_one_model_and_its_projector_is_noted(tmp_path: Path) -> None:
    tensors: Tensors = {"blk.0.attn_v.weight": ("F32", normal(4, 8))}
    write_gguf(tmp_path / "mmproj-model.gguf", {"v.blk.0.attn_q.weight": ("F32", normal(4, 4))})
    assert list(ss.open_checkpoint(tmp_path)) == ["v.blk.0.attn_q.weight"]
    write_gguf(tmp_path / "model.gguf", tensors)
    checkpoint = ss.open_checkpoint(tmp_path)
    assert list(checkpoint) == ["blk.0.attn_v.weight"]
    assert checkpoint.notes == ("files not part of the checkpoint: 'mmproj-model.gguf'",)


def test_a_scan_is_that_of_the_decoded_numbers(tmp_path: Path) -> None:
    """To the bit, from the same names in safetensors, whatever the file mode."""
    tensors: Tensors = {
        f"blk.{number}.attn_v.weight": (kind, finite_rows(kind, 90, across))
        for number, (kind, across) in enumerate((("Q4_K", 1), ("Q8_0", 3), ("IQ2_S", 1)))
    }
    path = write_gguf(tmp_path / "x.gguf", tensors)
    stored = [of_array(n, "F32", dequantised(*result)) for n, result in tensors.items()]
    write_file(tmp_path / "x.safetensors", *stored)
    wanted = ss.scan(tmp_path / "x.safetensors").rows
    for reading in ("buffered", "uncached", "mapped"):
        for result, row in zip(ss.scan(path, reading=reading).rows, wanted, strict=True):
            kept = {key for key in row if key not in ("file", "dtype", "nbytes", "seconds")}
            assert {key: result[key] for key in kept} == {key: row[key] for key in kept}
            assert result["status"] == "analysed"
    assert [row["dtype"] for row in ss.scan(path).rows] == ["Q4_K", "Q8_0", "IQ2_S"]


def test_plans_count_float32_in_memory_and_the_codes_in_the_file(tmp_path: Path) -> None:
    rows = finite_rows("Q4_K", 300, 2)
    path = write_gguf(tmp_path / "x.gguf", {"blk.0.attn_v.weight": ("Q4_K", rows)})
    (planned,) = ss.scan(path, plan=True).tensors
    assert planned.held
    assert (planned.nbytes, planned.read_bytes) == (rows.nbytes, rows.nbytes)
    assert planned.peak_bytes > 4 * 300 * 512


def test_commands_take_a_gguf_file(tmp_path: Path) -> None:
    path = converted(tmp_path / "model.gguf", weights(layers=1))
    code, out, _ = invoke("info", path)
    assert code == 0
    assert "Q8_0" in out
    assert invoke("scan", path, "--plan")[0] == 0
