# SPDX-License-Identifier: BSD-3-Clause
"""The contents of adapters as tables."""

from __future__ import annotations

from pathlib import Path

from tests.support.adapters import DOWN, Q, factors, lora, write_adapter
from tests.support.screens import screen, shown

from sigmascope import report
from sigmascope.adapters import open_adapter


def test_info_of_an_adapter_has_rank_alpha_and_scale(tmp_path: Path) -> None:
    tensors = lora(Q, *factors(32, 24)) | lora(DOWN, *factors(24, 48, r=2))
    adapter = open_adapter(
        write_adapter(tmp_path, tensors, use_rslora=True, rank_pattern={"down_proj": 2})
    )
    for every in (False, True):
        out = screen()
        report.show_info(out, adapter, every=every)
        lines = [line.split() for line in shown(out).splitlines()]
        assert "LoRA adapter of ranks 2 to 4 for the/base" in shown(out)
        header = next(line for line in lines if "alpha" in line)
        assert header[4:7] == ["r", "alpha", "scale"]
        assert [line[6:9] for line in lines if "product" in line] == [
            ["4", "8", "4"],
            ["2", "8", "5.65685"],
        ]
