# SPDX-License-Identifier: BSD-3-Clause
"""Readers of the cells of NF4, FP4 and int8 of bitsandbytes, from the tensors beside the codes."""

from __future__ import annotations

import json

import numpy as np

from sigmascope import Checkpoint
from sigmascope.extension.pairs import Member
from sigmascope.extension.quantised import StoredCodes

from .coded_cells import CODED, QUOTIENT, ScaleReader, TableReader
from .number_formats import Reals

OF_A_SUM = 2.0**-20
"""Error of scale - mean in float32, and of its sum again, relative to the largest of them."""


def table_reader(checkpoint: Checkpoint, member: Member, stored: StoredCodes) -> TableReader | None:
    """Return the reader of codes of bitsandbytes; None for codes of another tool.

    Raises
    ------
    CheckpointError
        If a file changed or ends early.
    """
    assert stored.scales is not None
    tensor = str(member.record["name"])
    for kind in ("nf4", "fp4"):
        if f"{tensor}.quant_state.bitsandbytes__{kind}" in _names(checkpoint):
            return _four_bits(checkpoint, member, stored, kind)
    if f"{tensor.removesuffix('.weight')}.SCB" in _names(checkpoint):
        table = np.arange(-127.0, 128.0) / 127.0
        return TableReader(CODED["int8"], table, 127.0, stored.codes, stored.scales)
    return None


def _four_bits(
    checkpoint: Checkpoint, member: Member, stored: StoredCodes, kind: str
) -> TableReader | None:
    assert stored.scales is not None
    tensor = str(member.record["name"])
    table = np.unique(_numbers(checkpoint, f"{tensor}.quant_map"))
    if abs(table[0]) != 1 or table[-1] != 1:
        return None
    reach = None
    if f"{tensor}.nested_absmax" in _names(checkpoint):
        if member.key != tensor:
            return None  # a part of a fused weight, whose runs begin elsewhere
        reach = _nested(checkpoint, tensor, kind, member.shape[1])
    error = QUOTIENT + (0.0 if reach is None else reach.error)
    return TableReader(CODED[kind], table, 1.0, stored.codes, stored.scales, reach, error)


def _nested(checkpoint: Checkpoint, tensor: str, kind: str, columns: int) -> ScaleReader:
    """Return the intervals of scales that are codes of 8 bits.

    With the offset o (a mean in float32), the writer takes a number of the table near
    (s - o) / a, where a is the largest magnitude among 256 of them. On a CPU that is not always the
    nearest (bitsandbytes 0.50): a number a tenth of a step beyond a midpoint may have the code
    before it. So s - o is taken to be between both neighbours of the code's number, times a, and
    at the ends of the table between -a and a.
    """
    state = f"{tensor}.quant_state.bitsandbytes__{kind}"
    record = json.loads(_numbers(checkpoint, state).astype(np.uint8).tobytes())
    codes = _numbers(checkpoint, f"{tensor}.absmax").astype(np.intp)
    table = _numbers(checkpoint, f"{tensor}.nested_quant_map")
    outer = _numbers(checkpoint, f"{tensor}.nested_absmax")
    outer = outer[np.arange(len(codes)) // int(record["nested_blocksize"])]
    offset = float(np.float32(record["nested_offset"]))
    ascending = np.unique(table)
    place = np.searchsorted(ascending, table[codes])
    low = np.append(-1.0, ascending[:-1])[place]
    high = np.append(ascending[1:], 1.0)[place]
    error = OF_A_SUM * (np.abs(offset) + outer)
    low, high = offset + low * outer - error, offset + high * outer + error
    scales = np.abs(offset + table[codes] * outer)
    relative = float(np.max(error[scales > 0] / scales[scales > 0], initial=0.0))
    return ScaleReader(np.maximum(low, 0.0), high, int(record["blocksize"]), columns, relative)


def _names(checkpoint: Checkpoint) -> set[str]:
    return {record["name"] for record in checkpoint.info()}


def _numbers(checkpoint: Checkpoint, name: str) -> Reals:
    elements = checkpoint.elements(name)
    assert elements is not None
    return np.concatenate([np.asarray(chunk, np.float64).ravel() for chunk in elements])
