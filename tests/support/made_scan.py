# SPDX-License-Identifier: BSD-3-Clause
"""The lines of a small saved scan, without their seals."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.support.checkpoints import Stored, write_file

import sigmascope as ss


def _lines() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_file(path / "m.safetensors", Stored("w", "F32", (6, 4)), Stored("v", "F32", (6,)))
        ss.scan(path, shard=(0, 1), out=path / "x.jsonl")
        text = (path / "x.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        del line["checksum"]
    return lines


LINES = _lines()
