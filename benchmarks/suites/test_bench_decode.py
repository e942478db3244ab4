# SPDX-License-Identifier: BSD-3-Clause
"""From stored bytes to numbers: bytes read per second, with the writing of the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers_of_kernels
import pytest
import workloads

PEERS = peers_of_kernels.DECODE


@pytest.mark.parametrize("dtype", workloads.DTYPES)
def test_decode(dtype: str, peer: peers_of_kernels.Peer, smoke: bool, measure: Any) -> None:
    m, n = (256, 344) if smoke else (4096, 11008)
    A = workloads.stored(dtype, m, n)
    decoded = measure(
        lambda: peer.run(A),
        table="decode",
        case={"dtype": dtype, "shape": f"{m} x {n}"},
        peer=peer,
        rounds=10,
        work=A.nbytes,
        unit="GB/s",
    )
    assert decoded.dtype == (np.float64 if dtype == "f64" else np.float32)
    assert np.array_equal(decoded, A.astype(decoded.dtype))
