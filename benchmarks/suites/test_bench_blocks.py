# SPDX-License-Identifier: BSD-3-Clause
"""Block layouts of GGUF files to float32: numbers decoded per second, on one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from peers_of_kernels import OURS, Peer

import sigmascope as ss


def ours(path: Path, shape: tuple[int, int], layout: str) -> ss.Matrix:
    """Decode a file whose pages the system holds; loading does so on the calling thread."""
    return ss.tensor(path, 0, shape, layout).load()


def theirs(path: Path, shape: tuple[int, int], layout: str) -> NDArray[np.float32]:
    import gguf

    kind = gguf.GGMLQuantizationType[layout.upper()]
    rows = np.fromfile(path, np.uint8).reshape(shape[0], -1)
    return gguf.dequantize(rows, kind)


PEERS = (Peer(OURS, "sigmascope", ours), Peer("gguf", "gguf", theirs))


@pytest.mark.parametrize("layout", ["q8_0", "q4_0", "q4_k", "q6_k", "q2_k", "iq4_xs", "iq2_s"])
def test_blocks(layout: str, peer: Peer, smoke: bool, measure: Any, tmp_path: Path) -> None:
    import gguf

    m, n = (64, 512) if smoke else (4096, 8192)
    elements, nbytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[layout.upper()]]
    codes = np.random.default_rng(0).integers(0, 0x3C, (m, n // elements * nbytes), np.uint8)
    path = tmp_path / layout
    codes.tofile(path)  # every scale is finite, since no byte has a large exponent
    decoded = measure(
        lambda: peer.run(path, (m, n), layout),
        table="blocks",
        case={"layout": layout, "shape": f"{m} x {n}"},
        peer=peer,
        rounds=10,
        work=m * n,
        unit="Gnumbers/s",
    )
    wanted = theirs(path, (m, n), layout)
    np.testing.assert_array_equal(np.asarray(decoded), wanted)
    assert np.isfinite(wanted).all()
