# SPDX-License-Identifier: BSD-3-Clause
"""Lines of a journal as any program may write them: JSON, and its CRC-32 as the last member."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32


def sealed(record: dict[str, Any]) -> bytes:
    """Return a record as one line, with the checksum of the line without that member."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
    return text[:-1] + f', "checksum": "{crc32(text):08x}"}}\n'.encode()


def of_other_engine(journal: bytes, **engine: Any) -> bytes:
    """Return a journal whose header states other properties of the engine that made it."""
    line, rows = journal.split(b"\n", 1)
    header = json.loads(line)
    del header["checksum"]
    return sealed(header | {"engine": header["engine"] | engine}) + rows
