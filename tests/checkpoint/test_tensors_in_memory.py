# SPDX-License-Identifier: BSD-3-Clause
"""Mappings of arrays, state dicts and modules are scanned and compared where they are."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.results import Scan

PLACES = ("file", "offset", "before_file", "after_file")
"""Columns that say where the bytes are, of a table's rows."""

NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "int64": "I64",
    "uint8": "U8",
    "bool": "BOOL",
}


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def tensors() -> dict[str, Any]:
    """Tensors of every status."""
    bad = normal(6, 5)
    bad[1, 2] = np.nan
    blocks = np.random.default_rng(3).integers(0, 256, (2, 6, 3, 16), np.uint8)
    return {
        "layers.0.mlp.up_proj.weight": normal(30, 20, seed=1),
        "layers.0.mlp.down_proj.weight": normal(20, 30, seed=2, dtype=ml_dtypes.bfloat16),
        "half": normal(9, 7, seed=3, dtype=np.float16),
        "wide": normal(5, 40, seed=4, dtype=np.float64),
        "experts": normal(3, 8, 6, seed=5),
        "conv.weight": normal(4, 3, 2, 2, seed=6),
        "fp8": normal(130, 20, seed=7, dtype=ml_dtypes.float8_e4m3fn),
        "fp8_scale_inv": np.array([[2.0], [0.5]], np.float32),
        "mlp.experts.down_proj_blocks": blocks,
        "mlp.experts.down_proj_scales": np.full((2, 6, 3), 126, np.uint8),
        "norm": normal(9, seed=8),
        "scale": np.float32(0.5),
        "ids": np.arange(12).reshape(3, 4),
        "mask": np.array([True, False]),
        "empty": np.empty((0, 3), np.float32),
        "bad": bad,
    }


def saved(folder: Path, named: Mapping[str, Any], config: object = None) -> Path:
    """The same tensors in a file."""
    folder.mkdir()
    arrays = {name: np.asarray(value) for name, value in named.items()}
    stored = [of_array(name, NAMES[x.dtype.name], x) for name, x in arrays.items()]
    write_file(folder / "model.safetensors", *stored)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def without_places(rows: Any) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key not in PLACES} for row in bits(rows)]


def test_a_scan_has_the_bits_of_the_scan_of_a_file(tmp_path: Path) -> None:
    named = tensors()
    of_file = ss.scan(saved(tmp_path / "m", named), k=3)
    scan = ss.scan(named, k=3)
    assert without_places(scan) == without_places(of_file)
    assert {row["name"] for row in scan} == {
        *(named.keys() - {"experts", "mlp.experts.down_proj_blocks"}),
        *(f"experts[{i}]" for i in range(3)),
        *(f"mlp.experts.down_proj_blocks[{i}]" for i in range(2)),
    }
    assert {row["status"] for row in scan} == {"analysed", "entrywise", "failed", "not analysed"}
    assert scan.checkpoint == "dict in memory"
    assert without_places(ss.scan(named, k=3, num_threads=3)) == without_places(of_file)


def test_a_comparison_has_the_bits_of_that_of_files(tmp_path: Path) -> None:
    named = {name: x for name, x in tensors().items() if name != "bad"}
    other = {name: x * x.dtype.type(2) if x.ndim else x for name, x in named.items()}
    of_files = ss.compare(saved(tmp_path / "a", named), saved(tmp_path / "b", other), k=3)
    for before, after in [(named, other), (tmp_path / "a", other)]:
        comparison = ss.compare(before, after, k=3)
        assert without_places(comparison) == without_places(of_files)


def test_arrays_are_used_where_they_are() -> None:
    x = normal(20, 10)
    checkpoint = ss.open_checkpoint({"w": x})
    x[3, 4] = 100.0
    assert np.asarray(checkpoint["w"])[3, 4] == 100.0
    kept = checkpoint["w"]
    del checkpoint, x
    assert np.asarray(kept)[3, 4] == 100.0
    assert "dict in memory" in repr(ss.open_checkpoint({"w": normal(3, 3)}))


@pytest.mark.parametrize(
    "x",
    [
        normal(20, 10).T,
        normal(20, 10)[::2, 1::3],
        normal(20, 10)[::-1],
        normal(20, 10).astype(">f4"),
        normal(2, 9, 7)[:, ::2],
        np.broadcast_to(normal(1, 10), (20, 10)),
        normal(3, 4).tolist(),
        np.asfortranarray(normal(12, 6, dtype=ml_dtypes.float8_e4m3fn)),
    ],
)
def test_every_layout_is_read(x: Any) -> None:
    numbers = np.asarray(x)
    matrices = list(ss.open_checkpoint({"w": x}).values())
    for result, expected in zip(matrices, numbers if numbers.ndim == 3 else [numbers], strict=True):
        np.testing.assert_array_equal(np.asarray(result, np.float64), expected.astype(np.float64))


def test_a_vector_of_a_strided_array_is_read_entry_by_entry() -> None:
    x = np.arange(24).reshape(4, 6)
    for each in (x[:, 2], x.T, x[::2, ::3], x.astype(">i8")):
        row = ss.scan({"x": each})["x"]
        assert (row["status"], row["max"], row["min"]) == ("entrywise", each.max(), each.min())


def test_entries_that_are_not_tensors_have_a_reason() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    scan = ss.scan(
        {
            "text": "x",
            "nothing": None,
            "step": 3,
            "nested": {"w": normal(3, 3)},
            "complex": normal(3, 3) + 1j,
            "masked": np.ma.masked_greater(normal(3, 3), 0),
            "sparse": sparse.csr_array(np.eye(3)),
            "objects": np.array([[1, "a"]], object),
            "matrix": ss.matrix(normal(3, 3)),
            "good": normal(3, 3),
        }
    )
    reasons = {row["name"]: row["reason"] for row in scan}
    assert reasons["good"] is None
    for name, words in {
        "text": "a str of <U1 holds no numbers",
        "nothing": "holds no numbers",
        "step": "I64 holds no real numbers",
        "nested": "x[name] is one",
        "complex": "dtype C64 is not decoded",
        "masked": "x.filled(0)",
        "sparse": "x.toarray() is dense",
        "objects": "holds no numbers",
        "matrix": "np.asarray(x) is an array",
    }.items():
        assert words in reasons[name], name
    assert [row["name"] for row in scan.analysed] == ["good"]


def test_names_are_text() -> None:
    with pytest.raises(TypeError, match="the names of tensors must be strings, not 3"):
        ss.scan({3: normal(3, 3)})  # type: ignore[dict-item]


# ------------------------------------------------------------------------------------- a long run


def test_a_scan_is_resumed_with_the_same_tensors_alone(tmp_path: Path) -> None:
    journal, named = tmp_path / "x.jsonl", tensors()
    scan = ss.scan(named, k=3, resume=journal)
    assert bits(ss.scan(dict(named), k=3, resume=journal)) == bits(scan)
    changed = named | {"norm": named["norm"] + 1}
    with pytest.raises(ValueError, match="memory"):
        ss.scan(changed, k=3, resume=journal)
    assert bits(Scan.load(journal)) == bits(scan)


def test_vectors_and_outputs_are_written(tmp_path: Path) -> None:
    named = {"w": normal(20, 10)}
    ss.scan(named, k=3, vectors=tmp_path / "v", out=tmp_path / "x.csv")
    assert len(list((tmp_path / "v").iterdir())) == 1
    assert "w" in (tmp_path / "x.csv").read_text()


def test_workers_that_open_files_are_refused() -> None:
    named = {"w": normal(20, 10)}
    with ThreadPoolExecutor(1) as executor:
        for call in (ss.scan, lambda x, **how: ss.compare(x, x, **how)):
            with pytest.raises(
                ValueError, match=r"dict in memory is not a file: omit the executor"
            ):
                call(named, executor=executor)
    with pytest.raises(TypeError, match="is not in files, so another process cannot open it"):
        pickle.dumps(ss.open_checkpoint(named))
    with pytest.raises(ValueError, match="reading = 'mapped' is for files"):
        ss.scan(named, reading="mapped")


def test_plans_series_patterns_and_shards() -> None:
    named = {"a.weight": normal(20, 10), "b.weight": normal(30, 10), "norm": normal(4)}
    plan = ss.scan(named, k=3, plan=True)
    assert [each.name for each in plan.accepted] == ["a.weight", "b.weight"]
    part = ss.scan(named, k=3, include="b*", shard=(0, 1))
    assert [row["name"] for row in part.analysed] == ["b.weight"]
    up = {"layers.0.mlp.up_proj.weight": normal(20, 10)}
    run = ss.series.trajectory({1: up, 2: {name: 2 * x for name, x in up.items()}}, k=3)
    norms = [row["value"] for row in run.where(measure="spectral_norm")]
    assert norms[1] == pytest.approx(2 * norms[0])


# ------------------------------------------------------------------------------------- torch


def test_modules_state_dicts_and_tied_weights(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layers = {"embed_tokens": torch.nn.Embedding(30, 8), "lm_head": torch.nn.Linear(8, 30)}
    model = torch.nn.ModuleDict(layers)
    model["lm_head"].weight = model["embed_tokens"].weight
    scan = ss.scan(model, k=3)
    assert scan.checkpoint == "ModuleDict in memory"
    assert scan["lm_head.weight"]["reason"] == "shares storage with embed_tokens.weight"
    named = dict(model.named_parameters(remove_duplicate=False))
    for each in (model.state_dict(), named):
        assert without_places(ss.scan(each, k=3)) == without_places(scan)
    untied = {"w": model["embed_tokens"].weight, "b": model["lm_head"].bias}
    arrays = {name: x.detach().numpy() for name, x in untied.items()}
    of_file = ss.scan(saved(tmp_path / "m", arrays), k=3)
    assert without_places(ss.scan(untied, k=3)) == without_places(of_file)


def test_every_dtype_and_layout_of_torch() -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.from_numpy(normal(12, 6))
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        x = numbers.to(dtype)
        for view in (x, x.T, x[::2, 1:], x.flip(0), x.expand(2, 12, 6)):
            matrices = list(ss.open_checkpoint({"w": view}).values())
            whole = view.to(torch.float64).reshape(-1, *view.shape[-2:]).numpy()
            for result, expected in zip(matrices, whole, strict=True):
                np.testing.assert_array_equal(np.asarray(result, np.float64), expected)
    negated = (numbers + 1j * numbers).conj().imag  # a view whose minus torch applies later
    assert negated.is_neg()
    result = ss.open_checkpoint({"w": negated})["w"]
    np.testing.assert_array_equal(np.asarray(result), -numbers.numpy())


@pytest.mark.filterwarnings("ignore:Sparse")
def test_tensors_of_torch_without_numbers_in_memory_have_a_reason() -> None:
    torch = pytest.importorskip("torch")
    eye = torch.eye(3)

    class Odd(torch.Tensor):  # type: ignore[misc, name-defined]
        """A subclass that may keep its numbers elsewhere."""

    scan = ss.scan({"sparse": eye.to_sparse(), "meta": eye.to("meta"), "odd": eye.as_subclass(Odd)})
    reasons = {row["name"]: row["reason"] for row in scan}
    assert "x.to_dense()" in reasons["sparse"]
    assert "load its weights first" in reasons["meta"]
    assert "convert it to a plain Tensor" in reasons["odd"]


def test_settings_of_a_module_split_its_fused_weights(tmp_path: Path) -> None:
    config = {"model_type": "gpt2", "n_embd": 8, "n_head": 2}
    named = {"transformer.h.0.attn.c_attn.weight": normal(8, 24)}

    class Config:
        def to_dict(self) -> dict[str, Any]:
            return config

    class Model:
        config = Config()

        def state_dict(self) -> dict[str, Any]:
            return named

    of_file = ss.open_checkpoint(saved(tmp_path / "m", named, config))
    checkpoint = ss.open_checkpoint(Model())
    assert list(checkpoint) == list(of_file)
    assert len(checkpoint) == 3
    for name, matrix in checkpoint.items():
        np.testing.assert_array_equal(np.asarray(matrix), np.asarray(of_file[name]))
    assert checkpoint.roles == of_file.roles
