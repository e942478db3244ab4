# SPDX-License-Identifier: BSD-3-Clause
"""GGUF files on other machines: blocks are decoded from what is read by ranges."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.gguf_files import finite_rows, write_gguf
from tests.support.gguf_models import converted, weights
from tests.support.remote import served
from tests.support.scans import bits
from tests.support.store_servers import HubServer

import sigmascope as ss

HOW: dict[str, Any] = {"effort": "top", "k": 2, "num_threads": 1}


def test_a_model_of_llama_cpp_is_scanned_by_its_url(tmp_path: Path) -> None:
    path = converted(tmp_path / "model.gguf", weights(layers=1))
    here = ss.scan(path, **HOW)
    with served(tmp_path) as server:
        far = ss.open_checkpoint(f"{server.url}/model.gguf")
        scan = ss.scan(far, **HOW)
        assert bits(scan.rows) == bits(here.rows)
        assert {request.file for request in server.requests} == {"model.gguf"}
        name = next(iter(far))
        again = pickle.loads(pickle.dumps(far[name]))
        np.testing.assert_array_equal(np.asarray(again), np.asarray(far[name]))


def test_shards_on_a_hub_are_found(tmp_path: Path, monkeypatch: Any) -> None:
    for number in range(2):
        write_gguf(
            tmp_path / f"model-0000{number + 1}-of-00002.gguf",
            {f"blk.{number}.ffn_up.weight": ("Q4_K", finite_rows("Q4_K", 64, 1, number))},
            split__no=number,
            split__count=2,
            split__tensors__count=2,
        )
    here = ss.scan(tmp_path, **HOW)
    with served(tmp_path, HubServer) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        scan = ss.scan("hf://org/model", **HOW)
    assert len(scan.analysed) == 2
    assert bits(scan.rows) == bits(here.rows)


@pytest.mark.slow
def test_blocks_beyond_the_memory_are_read_by_panels(tmp_path: Path) -> None:
    rows = finite_rows("Q8_0", 1500, 8)
    write_gguf(tmp_path / "m.gguf", {"blk.0.ffn_up.weight": ("Q8_0", rows)})
    how = {**HOW, "memory_limit": "750KB"}
    here = ss.scan(tmp_path, **how)
    assert [row["status"] for row in here.rows] == ["analysed"]
    with served(tmp_path) as server:
        assert bits(ss.scan(f"{server.url}/m.gguf", **how).rows) == bits(here.rows)
        assert server.sent_bytes > 3 * rows.nbytes
