# SPDX-License-Identifier: BSD-3-Clause
"""Strange files of PyTorch: pickles with instructions changed, in archives and as before 1.6."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
Noise = Callable[[Rng, bytes, float], bytes]

NUMBERS = [0, 1, 2, 3, 7, 64, -1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**19]
TEXTS = [
    "",
    "w",
    "storage",
    "0",
    "state_dict",
    "_parameters",
    "latin1",
    "x" * 2000,
    "\ud800",
    "a.b",
]
BARE = [b"(", b")", b"]", b"}", b"2", b"0", b"R", b"b", b"t", b"\x85", b"u", b"s", b"e"]
BARE += [b"\x81", b"\x92", b"o", b"Q", b"a", b"h\x00", b"\x90", b"\x8f", b"\x91"]
"""Instructions without an argument."""

NAMES = [b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n", b"ctorch\nQInt8Storage\n"]
NAMES += [b"cposix\nsystem\n", b"ca.b\nC\n", b"c_codecs\nencode\n", b"ctorch\nSize\n"]
NAMES += [b"cnumpy.core.multiarray\n_reconstruct\n", b"ccollections\ndefaultdict\n"]
NAMES += [b"ctorch._utils\n_rebuild_qtensor\n", b"c__torch__.a\nB\n", b"ia\nb\n"]


def pick(rng: Rng, values: list[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _times(rng: Rng, program: list[bytes]) -> bytes:
    """Change a program a few times, often not at all."""
    for _ in range(int(rng.integers(0, 4))):
        program = _changed(rng, program)
    return b"".join(program)


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def _instructions(rng: Rng, *view: bytes) -> list[bytes]:
    """Those of a dict of tensors and of other objects, as PyTorch writes it."""
    out = [b"\x80\x02", b"}", b"q\x00", b"("]
    for number in range(int(rng.integers(1, 4))):
        kind = pick(rng, ["FloatStorage", "DoubleStorage", "BFloat16Storage", "ByteStorage"])
        kind = "FloatStorage" if view else kind
        m, n = (int(x) for x in rng.integers(1, 5, 2))
        out += [_text(f"layers.{number}.w"), b"ctorch._utils\n_rebuild_tensor_v2\n", b"(", b"("]
        out += [_text("storage"), f"ctorch\n{kind}\n".encode(), _text("0"), _text("cpu")]
        out += [_number(64), *view, b"t", b"Q", _number(0), _number(m), _number(n), b"\x86"]
        out += [_number(n), _number(1), b"\x86", b"\x89", b"ccollections\nOrderedDict\n", b")"]
        out += [b"R", b"t", b"R"]
    if rng.random() < 0.5:
        made = pick(rng, [[b")", b"R"], [b")", b"\x81"], [b"]", b"\x85", b"R"]])
        state = pick(rng, [[], [b"}", _text("a"), b"h\x00", b"s", b"b"], [b"N", b"b"]])
        out += [_text("other"), pick(rng, NAMES[:-1]), *made, *state]
    return [*out, b"u", b"."]


def _other(rng: Rng) -> bytes:
    kind = int(rng.integers(5))
    if kind == 0:
        return _number(pick(rng, NUMBERS))
    if kind == 1:
        return _text(pick(rng, TEXTS))
    if kind == 2:
        return bytes(pick(rng, BARE))
    if kind == 3:
        return bytes(pick(rng, NAMES))
    return bytes([int(rng.integers(256))]) + rng.bytes(int(rng.integers(0, 5)))


def _changed(rng: Rng, program: list[bytes]) -> list[bytes]:
    out, at = list(program), int(rng.integers(len(program)))
    how = int(rng.integers(4))
    if how == 0:
        del out[at]
    elif how == 1:
        out.insert(at, out[int(rng.integers(len(out)))])
    else:
        out[at : at + how - 2] = [_other(rng)]
    return out or [b"."]


def pickled(rng: Rng, folder: Path, noise: Noise) -> Path:
    program = _times(rng, _instructions(rng))
    made = io.BytesIO()
    packed = zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED
    with zipfile.ZipFile(made, "w", packed) as archive:
        archive.writestr("m/data.pkl", program)
        if rng.random() < 0.5:
            archive.writestr("m/byteorder", pick(rng, [b"little", b"little", b"big", b""]))
        archive.writestr(f"m/data/{pick(rng, ['0', '0', '0', '1', 'é'])}", rng.bytes(256))
    raw = bytearray(made.getvalue())
    # A number in a head of a record, or in the directory.
    marks = [b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"]
    if rng.random() < 0.3 and (at := raw.find(pick(rng, marks))) >= 0:
        place = at + 4 + 2 * int(rng.integers(20))
        raw[place : place + 4] = struct.pack("<I", int(pick(rng, [0, 1, 2**16, 2**31, 2**32 - 1])))
    (folder / "model.pt").write_bytes(noise(rng, bytes(raw), 0.15))
    return folder / "model.pt"


def legacy(rng: Rng, folder: Path, noise: Noise) -> Path:
    program = _times(rng, _instructions(rng, b"N"))
    machine = {"protocol_version": 1001, "little_endian": bool(rng.random() < 0.95)}
    head = (0x1950A86A20F9469CFC6C, pick(rng, [1001] * 9 + [1000]), machine)
    keys = pick(rng, [["0"]] * 6 + [[], ["0", "0"], ["1"], "0", [0]])
    count = int(pick(rng, [64] * 6 + [0, 63, 65, -1, 2**31, 2**62]))
    pickles = [*(pickle.dumps(each, 2) for each in head), program, pickle.dumps(keys, 2)]
    raw = b"".join([*pickles, struct.pack("<q", count), rng.bytes(256)])
    (folder / "model.pt").write_bytes(noise(rng, raw, 0.15))
    return folder / "model.pt"
