# SPDX-License-Identifier: BSD-3-Clause
"""Models of codes in groups: scans, comparisons with their original, other machines, memory."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import group_formats as formats
from tests.support.checkpoints import Stored, of_array, opened
from tests.support.file_server import FileServer
from tests.support.remote import served
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.errors import MemoryLimitError

HOW: dict[str, Any] = {"effort": "top", "k": 2, "num_threads": 1}
MODEL: dict[str, Any] = {"model_type": "llama", "hidden_size": 96, "num_attention_heads": 4}
GPTQ: dict[str, Any] = {"quant_method": "gptq", "bits": 4, "group_size": 32}


def model() -> tuple[list[Stored], dict[str, NDArray[np.float32]]]:
    """Tensors of a model of two layers in GPTQ, with act-order, and its weights."""
    rng = np.random.default_rng(0)
    tensors, wanted = [], {}
    for layer in range(2):
        for part, shape in (("self_attn.q_proj", (96, 96)), ("mlp.down_proj", (96, 128))):
            name = f"model.layers.{layer}.{part}"
            result, weight = formats.gptq(rng, shape, 4, 32, act_order=True, name=name)
            tensors += result
            wanted[f"{name}.weight"] = weight
    norm = np.ones(96, np.float32)
    return [*tensors, of_array("model.norm.weight", "F32", norm)], wanted


def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A quantised model, and one of the same numbers in float32."""
    tensors, wanted = model()
    quantised, dense = tmp_path / "quantised", tmp_path / "dense"
    quantised.mkdir()
    dense.mkdir()
    opened(quantised, *tensors, config={**MODEL, "quantization_config": GPTQ})
    weights = [of_array(name, "F32", weight) for name, weight in wanted.items()]
    opened(dense, *weights, tensors[-1], config=MODEL)
    return quantised, dense


def test_a_scan_has_the_values_of_the_decoded_weights(tmp_path: Path) -> None:
    quantised, dense = folders(tmp_path)
    result, wanted = (ss.scan(folder, **HOW).analysed for folder in (quantised, dense))
    assert len(result) == 4
    same = ("name", "role", "layer", "rows", "columns", "spectral_norm", "fro_norm", "stable_rank")
    for key in same:
        assert [row[key] for row in result] == [row[key] for row in wanted]


def test_a_comparison_pairs_every_weight_with_its_original(tmp_path: Path) -> None:
    quantised, dense = folders(tmp_path)
    rows = [row for row in ss.compare(dense, quantised).rows if row["status"] == "analysed"]
    assert [row["name"] for row in rows] == list(model()[1])
    assert all(row["relative_change"] == 0 for row in rows)


def test_heads_are_rows_of_the_decoded_weight(tmp_path: Path) -> None:
    quantised, _ = folders(tmp_path)
    checkpoint = ss.open_checkpoint(quantised, heads=True)
    name, weight = next(iter(model()[1].items()))
    head = checkpoint[f"{name}[head 2]"]
    np.testing.assert_array_equal(np.asarray(head), weight[48:72])
    both = pickle.loads(pickle.dumps(ss.vstack([head, head])))
    np.testing.assert_array_equal(np.asarray(both), np.vstack([weight[48:72]] * 2))


@pytest.mark.slow
def test_a_model_on_another_machine_is_read_by_ranges(tmp_path: Path) -> None:
    quantised, _ = folders(tmp_path)
    here = ss.scan(quantised, **HOW)
    with served(quantised) as server:
        far = ss.open_checkpoint(server.url)
        assert bits(ss.scan(far, **HOW).rows) == bits(here.rows)
        name, weight = next(iter(model()[1].items()))
        again = pickle.loads(pickle.dumps(far[name]))
        np.testing.assert_array_equal(np.asarray(again)[5:9], weight[5:9])


def test_a_plan_reads_no_scale(tmp_path: Path) -> None:
    quantised, dense = folders(tmp_path)
    for other in (tmp_path / "fp8", tmp_path / "nested"):
        other.mkdir()
    codes = Stored("a.weight", "F8_E4M3", (128, 256), bytes(128 * 256))
    grid = of_array("a.weight_scale_inv", "F32", np.full((1, 2), np.nan, np.float32))
    opened(tmp_path / "fp8", codes, grid)
    tensors, _ = formats.bitsandbytes(np.random.default_rng(1), (40, 96), 64, nested=True)
    opened(
        tmp_path / "nested",
        *tensors,
        config={"quantization_config": {"quant_method": "bitsandbytes"}},
    )
    with served(tmp_path) as server:
        for folder in (quantised, tmp_path / "fp8", tmp_path / "nested"):
            far = ss.open_checkpoint(f"{server.url}/{folder.name}")
            begun = len(server.requests)
            plan = ss.scan(far, num_threads=2, plan=True)
            assert read_at_offsets(server, begun) == set()
            assert not plan.refused
            assert plan.tensors
        far, here = ss.open_checkpoint(f"{server.url}/quantised"), ss.open_checkpoint(dense)
        begun = len(server.requests)
        assert not ss.compare(here, far, plan=True).refused
        assert read_at_offsets(server, begun) == set()


def read_at_offsets(server: FileServer, begun: int) -> set[int]:
    """Offsets of requests, but for those of the start of a file, by which a plan times reading."""
    return {request.start for request in server.requests[begun:]} - {0}


def of_groups(folder: Path, size: int, rows: int = 512) -> ss.Checkpoint:
    """A matrix with 2048 columns, with a scale and a zero for so many of each row."""
    tensors, _ = formats.compressed(np.random.default_rng(1), (rows, 2048), 4, size, zeros=True)
    weights = {"num_bits": 4, "type": "int", "symmetric": False}
    weights |= {"strategy": "group", "group_size": size}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    how = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
    config = {"quantization_config": how | {"config_groups": groups}}
    folder.mkdir(exist_ok=True)
    checkpoint: ss.Checkpoint = opened(folder, *tensors, config=config)
    return checkpoint


def test_scales_count_as_memory(tmp_path: Path) -> None:
    """A scale and a zero for eight columns are a fourth of the numbers in float32."""
    checkpoint = of_groups(tmp_path, 8)
    a, outline = checkpoint["q_proj.weight"], checkpoint.outline("q_proj.weight")
    parameters = 4 * (2 * 512 * 256 + 512 + 2048) + 8 * 256  # scales, zeros, indices, runs
    assert a.native.parameter_nbytes == outline.native.parameter_nbytes == parameters
    assert a[:256].T.native.parameter_nbytes == parameters

    def least(a: Any) -> int:
        try:
            ss.svdvals(a, memory_limit=1)
        except MemoryLimitError as error:
            match = re.search(r"needs ([\d.]+) MiB", str(error))
        assert match is not None
        return int(float(match[1]) * 2**20)

    same = formats_dense(a, tmp_path)
    assert least(a) - least(same) == pytest.approx(parameters, rel=0.05)


def of_groups_with_biases(folder: Path, size: int, rows: int) -> ss.Checkpoint:
    """A matrix of MLX with 2048 columns, with a scale and a bias for so many of each row."""
    tensors, _ = formats.mlx(np.random.default_rng(1), (rows, 2048), 4, size)
    folder.mkdir()
    how = {"quantization": {"group_size": size, "bits": 4}}
    checkpoint: ss.Checkpoint = opened(folder, *tensors, config=how)
    return checkpoint


@pytest.mark.parametrize(
    "stored", [of_groups, of_groups_with_biases], ids=["scales and zeros", "scales and biases"]
)
def test_a_plan_counts_scales_as_memory(
    stored: Callable[..., ss.Checkpoint], tmp_path: Path
) -> None:
    """They are read whole, in float32, whatever the limit."""
    peaks = {}
    for size in (32, 64):
        checkpoint = stored(tmp_path / str(size), size, rows=64)
        peaks[size] = ss.scan(checkpoint, **HOW, plan=True)["q_proj.weight"].peak_bytes
    more = 2048 // 32 - 2048 // 64
    assert peaks[32] - peaks[64] == (4 * 2 * 64 + 8) * more  # 8: of its first column


def formats_dense(a: Any, tmp_path: Path) -> Any:
    """The numbers of a matrix, in a file in float32."""
    name = str(tmp_path / "dense.npy")
    np.save(name, np.asarray(a))
    return next(iter(ss.open_checkpoint(name).values()))


def test_panels_of_a_transposed_weight_beyond_the_memory(tmp_path: Path) -> None:
    tensors, weight = formats.awq(np.random.default_rng(1), (1000, 1024), 128)
    config = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
    a = opened(tmp_path, *tensors, config=config)["q_proj.weight"]
    how: dict[str, Any] = {"method": "krylov", "block": 8}
    # Dot products along rows, which AVX-512 has, sum in another order than products down columns.
    wanted = ss.svds(np.asfortranarray(weight), 3, **how).s.tobytes()
    assert ss.svds(a, 3, memory_limit=a.nbytes, **how).s.tobytes() == wanted
    assert ss.svds(a, 3, **how).s.tobytes() == wanted


def test_a_module_in_memory_with_its_configuration() -> None:
    tensors, wanted = model()
    kinds: dict[str, Any] = {"I32": np.int32, "F16": np.float16, "F32": np.float32}
    arrays = {
        each.name: np.frombuffer(each.bytes, kinds[each.dtype]).reshape(each.shape)
        for each in tensors
    }

    class Quantised:
        class config:  # noqa: N801
            @staticmethod
            def to_dict() -> dict[str, Any]:
                return {**MODEL, "quantization_config": GPTQ}

        def state_dict(self) -> dict[str, Any]:
            return arrays

    checkpoint = ss.open_checkpoint(Quantised())
    assert list(checkpoint) == list(wanted)
    for name, weight in wanted.items():
        np.testing.assert_array_equal(np.asarray(checkpoint[name]), weight)
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        pickle.dumps(checkpoint[name])
