# SPDX-License-Identifier: BSD-3-Clause
"""Joined parts of the ranks of tensor parallelism; NumPy's split is the oracle."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import Stored, of_array, record, write_file

import sigmascope as ss
from sigmascope.checkpoint import open_checkpoint
from sigmascope.errors import CheckpointError

VOCABULARY, WIDTH, INNER = 48, 16, 40
AXES: dict[str, tuple[tuple[int, ...], int | None]] = {
    "tok_embeddings.weight": ((VOCABULARY, WIDTH), 1),
    "norm.weight": ((WIDTH,), None),
    "output.weight": ((VOCABULARY, WIDTH), 0),
    "layers.0.attention_norm.weight": ((WIDTH,), None),
    "layers.0.ffn_norm.weight": ((WIDTH,), None),
    "layers.0.attention.wq.weight": ((WIDTH, WIDTH), 0),
    "layers.0.attention.wk.weight": ((8, WIDTH), 0),
    "layers.0.attention.wv.weight": ((8, WIDTH), 0),
    "layers.0.attention.wo.weight": ((WIDTH, WIDTH), 1),
    "layers.0.feed_forward.w1.weight": ((INNER, WIDTH), 0),
    "layers.0.feed_forward.w2.weight": ((WIDTH, INNER), 1),
    "layers.0.feed_forward.w3.weight": ((INNER, WIDTH), 0),
}
"""As in Meta's files: the axis that is cut, None for what each rank has whole."""


def weights() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(shape).astype(np.float32) for name, (shape, _) in AXES.items()
    }


def pieces(
    whole: Mapping[str, NDArray[np.float32]], count: int, **axes: int
) -> list[dict[str, NDArray[np.float32]]]:
    """Return the tensors of each rank; `axes` changes where a tensor is cut."""
    ranks: list[dict[str, NDArray[np.float32]]] = [{} for _ in range(count)]
    for name, tensor in whole.items():
        axis = axes.get(name.split(".")[0], AXES[name][1])
        cut = [tensor] * count if axis is None else np.split(tensor, count, axis)
        for rank, piece in zip(ranks, cut, strict=True):
            rank[name] = np.ascontiguousarray(piece)
    return ranks


def written(folder: Path, ranks: list[dict[str, NDArray[np.float32]]]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [
        write_file(
            folder / f"consolidated.{number:02}.safetensors",
            *(of_array(name, "F32", piece) for name, piece in rank.items()),
        )
        for number, rank in enumerate(ranks)
    ]


@pytest.mark.parametrize("count", [2, 4])
def test_a_folder_of_ranks_is_joined(count: int, tmp_path: Path) -> None:
    whole = weights()
    paths = written(tmp_path, pieces(whole, count))
    for opened in (open_checkpoint(tmp_path), open_checkpoint(paths)):
        matrices = {name: tensor for name, tensor in whole.items() if tensor.ndim == 2}
        assert list(opened) == list(matrices)
        assert opened.files == tuple(paths)
        assert opened.unreadable == {}
        for name, truth in matrices.items():
            np.testing.assert_array_equal(np.asarray(opened[name]), truth)
            result = record(opened, name)
            assert (result["shape"], result["nbytes"]) == (truth.shape, truth.nbytes)
            axis = "rows" if AXES[name][1] == 0 else "columns"
            assert result["view"] == f"{axis} of {count} ranks joined"
        assert record(opened, "norm.weight")["status"] == "vector"
        norm = next(row for row in ss.scan(opened) if row["name"] == "norm.weight")
        assert norm["fro_norm"] == pytest.approx(np.linalg.norm(whole["norm.weight"]), rel=1e-6)
        again = pickle.loads(pickle.dumps(opened))
        assert again.info() == opened.info()


def test_embeddings_cut_by_rows(tmp_path: Path) -> None:
    """As since Llama 3; the width tells."""
    whole = weights()
    checkpoint = open_checkpoint(written(tmp_path, pieces(whole, 2, tok_embeddings=0)))
    name = "tok_embeddings.weight"
    np.testing.assert_array_equal(np.asarray(checkpoint[name]), whole[name])


def test_the_order_of_the_paths_is_that_of_the_ranks(tmp_path: Path) -> None:
    whole = weights()
    paths = written(tmp_path, pieces(whole, 2))
    name = "layers.0.attention.wq.weight"
    turned = np.concatenate(np.split(whole[name], 2)[::-1])
    np.testing.assert_array_equal(np.asarray(open_checkpoint(paths[::-1])[name]), turned)


def test_files_of_pytorch_and_folders_of_shards(tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch")
    whole = weights()
    folders = []
    for number, rank in enumerate(pieces(whole, 2)):
        tensors = {name: torch.from_numpy(piece) for name, piece in rank.items()}
        torch.save(tensors, tmp_path / f"consolidated.{number:02}.pth")
        folder = tmp_path / f"mp_rank_{number:02}"
        folder.mkdir()
        half = len(tensors) // 2
        torch.save(dict(list(tensors.items())[:half]), folder / "a.pt")
        torch.save(dict(list(tensors.items())[half:]), folder / "b.pt")
        folders.append(folder)
    for checkpoint in (open_checkpoint(tmp_path), open_checkpoint(folders)):
        for name, matrix in checkpoint.items():
            np.testing.assert_array_equal(np.asarray(matrix), whole[name])
        assert len(checkpoint) == 9


def test_scaled_pieces_and_stacks_of_experts(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    up, experts = "layers.0.feed_forward.w3.weight", "layers.0.mlp.experts.down_proj"
    truth: dict[str, NDArray[np.float32]] = {}
    ranks: list[list[Stored]] = [[], []]
    codes = rng.standard_normal((2, INNER // 2, WIDTH)).astype(ml_dtypes.float8_e4m3fn)
    scales = rng.uniform(0.5, 2, (2, INNER // 2, 1)).astype(np.float32)
    truth[up] = (codes.astype(np.float32) * scales).reshape(INNER, WIDTH)
    stack = rng.standard_normal((3, WIDTH, INNER)).astype(np.float32)
    truth |= {f"{experts}[{expert}]": stack[expert] for expert in range(3)}
    for number, rank in enumerate(ranks):
        rank.append(of_array(up, "F8_E4M3", codes[number]))
        rank.append(of_array(f"{up}_scale", "F32", scales[number]))
        rank.append(of_array(experts, "F32", np.split(stack, 2, axis=2)[number].copy()))
    paths = [write_file(tmp_path / f"{i}.safetensors", *rank) for i, rank in enumerate(ranks)]
    checkpoint = open_checkpoint(paths)
    assert set(checkpoint) == set(truth)
    for name, matrix in checkpoint.items():
        np.testing.assert_array_equal(np.asarray(matrix), truth[name])
    assert record(checkpoint, experts)["shape"] == (3, WIDTH, INNER)


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("layers.0.mlp.shared_experts.gate_proj.weight", 0),
        ("layers.0.mlp.shared_experts.up_proj.weight", 0),
        ("layers.0.mlp.shared_experts.down_proj.weight", 1),
        ("layers.0.mlp.shared_expert_gate.weight", None),  # a router
    ],
    ids=["gate", "up", "down", "router"],
)
def test_shared_experts_are_joined_as_other_layers(
    name: str, axis: int | None, tmp_path: Path
) -> None:
    shape = {0: (INNER, WIDTH), 1: (WIDTH, INNER), None: (1, WIDTH)}[axis]
    whole = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    cut = [whole, whole] if axis is None else np.split(whole, 2, axis)
    checkpoint = open_checkpoint(written(tmp_path, [{name: piece} for piece in cut]))
    assert checkpoint.unreadable == {}
    np.testing.assert_array_equal(np.asarray(checkpoint[name]), whole)


def test_a_scan_has_one_row_for_the_whole(tmp_path: Path) -> None:
    whole = weights()
    written(tmp_path, pieces(whole, 2))
    scan = ss.scan(tmp_path, effort="exact", k=1, include="*.wo.*")
    (row,) = [row for row in scan.rows if row["status"] == "analysed"]
    exact = np.linalg.svd(whole["layers.0.attention.wo.weight"], compute_uv=False)
    assert row["top"] == pytest.approx([exact[0]], rel=1e-6)
    assert (row["rows"], row["columns"]) == (WIDTH, WIDTH)


# ---------------------------------------------------------------------------- cannot be told


def test_what_cannot_be_told_is_unreadable_with_the_reason(tmp_path: Path) -> None:
    extra = {"layers.0.adapter.weight": (4, 4), "layers.0.feed_forward.gate.weight": (3, WIDTH)}
    ranks = pieces(weights(), 2)
    for name, shape in extra.items():
        for rank in ranks:
            rank[name] = np.ones(shape, np.float32)
    ranks[0]["layers.0.attention.wv.weight"] = np.ones((4, WIDTH - 1), np.float32)
    checkpoint = open_checkpoint(written(tmp_path, ranks))
    assert set(checkpoint.unreadable) == {
        "layers.0.adapter.weight",
        "layers.0.attention.wv.weight",
        "layers.0.feed_forward.gate.weight",
    }
    assert "the axis that is cut is ambiguous" in checkpoint.unreadable["layers.0.adapter.weight"]
    assert checkpoint.unreadable["layers.0.attention.wv.weight"].startswith(
        "pieces [[4, 15], [4, 16]] do not join by rows"
    )


def test_routers_are_whole_on_every_rank(tmp_path: Path) -> None:
    router = np.random.default_rng(2).standard_normal((3, WIDTH)).astype(np.float32)
    name = "layers.0.block_sparse_moe.gate.weight"
    paths = written(tmp_path, [{name: router}, {name: router}])
    checkpoint = open_checkpoint(paths)
    np.testing.assert_array_equal(np.asarray(checkpoint[name]), router)
    assert record(checkpoint, name)["view"] == "whole on each of 2 ranks; that of rank 0 is read"


def test_without_norms_the_embedding_is_not_guessed_at(tmp_path: Path) -> None:
    name = "tok_embeddings.weight"
    ranks = [{name: np.ones((4, 4), np.float32)}] * 2
    checkpoint = open_checkpoint(written(tmp_path, ranks))
    assert "the axis that is cut is ambiguous" in checkpoint.unreadable[name]


def test_fewer_key_heads_than_ranks(tmp_path: Path) -> None:
    paths = written(tmp_path, pieces(weights(), 4))
    (tmp_path / "params.json").write_text(json.dumps({"dim": WIDTH, "n_kv_heads": 2}))
    checkpoint = open_checkpoint(paths)
    assert set(checkpoint.unreadable) == {
        "layers.0.attention.wk.weight",
        "layers.0.attention.wv.weight",
    }
    assert checkpoint.unreadable["layers.0.attention.wk.weight"] == (
        "2 heads on 4 ranks: some hold copies, but it is unknown which"
    )


def test_a_key_head_on_each_rank_is_not_a_copy(tmp_path: Path) -> None:
    """As of Llama 2 70B: eight key heads on eight ranks."""
    whole = weights()
    paths = written(tmp_path, pieces(whole, 4))
    (tmp_path / "params.json").write_text(json.dumps({"dim": WIDTH, "n_kv_heads": 4}))
    checkpoint = open_checkpoint(paths)
    assert checkpoint.unreadable == {}
    for name in ("layers.0.attention.wk.weight", "layers.0.attention.wv.weight"):
        np.testing.assert_array_equal(np.asarray(checkpoint[name]), whole[name])


def test_ranks_that_do_not_belong_together(tmp_path: Path) -> None:
    a, b = Stored("a", "F32", (2, 3)), Stored("b", "F32", (3, 2))
    first = write_file(tmp_path / "0.safetensors", a)
    for other, message in (
        (write_file(tmp_path / "1.safetensors", a, b), "ranks 0 and 1 hold different tensors: 'b'"),
        (
            write_file(tmp_path / "2.safetensors", Stored("a", "BF16", (2, 3))),
            r"2\.safetensors: tensor 'a' is BF16 \[2, 3\], but that of rank 0 is F32 \[2, 3\]",
        ),
        (write_file(tmp_path / "3.safetensors", Stored("a", "F32", (6,))), r"is F32 \[6\]"),
        (tmp_path / "absent.safetensors", "cannot be read"),
    ):
        with pytest.raises(CheckpointError, match=message):
            open_checkpoint([first, other])
    with pytest.raises(CheckpointError, match="the list of paths of ranks is empty"):
        open_checkpoint([])


def test_a_missing_rank_is_noticed(tmp_path: Path) -> None:
    paths = written(tmp_path, pieces(weights(), 4))
    paths[1].unlink()
    with pytest.raises(CheckpointError, match=r"ranks \[0, 2, 3\] are here, counting from 0"):
        open_checkpoint(tmp_path)


def test_consolidated_files_of_different_tensors_are_shards(tmp_path: Path) -> None:
    """As of Mixtral, whose files hold different experts."""
    write_file(tmp_path / "consolidated.00.safetensors", Stored("a", "F32", (2, 3)))
    write_file(tmp_path / "consolidated.01.safetensors", Stored("b", "F32", (2, 3)))
    checkpoint = open_checkpoint(tmp_path)
    assert list(checkpoint) == ["a", "b"]
    assert record(checkpoint, "a")["view"] is None
