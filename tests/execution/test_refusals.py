# SPDX-License-Identifier: BSD-3-Clause
"""Refusals for want of memory are true: the stated limit suffices, and each offer runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import known_spectra as ks
from tests.support.bytes_read import bytes_read
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.memory_needs import admission, bytes_of, least_and_most, leave_room

import sigmascope as ss
from sigmascope.errors import MemoryLimitError

SPECTRA = {
    "noise": lambda m, n: np.random.default_rng(0).standard_normal((m, n)),
    "decay": lambda m, n: ks.exponential(m, n, rate=0.8)[0],
    "rank one": lambda m, n: np.outer(np.arange(1.0, m + 1), np.arange(1.0, n + 1)),
}
SHAPES = [(30, 20), (64, 64), (200, 150), (150, 200), (1500, 30), (40, 900), (1, 5), (3, 1)]
CALLS = {
    "effort": st.sampled_from(["top", "density", "exact"]),
    "k": st.sampled_from([1, 2, 5, 16, 64]),
    "num_threads": st.sampled_from([1, 3]),
    "panel_rows": st.sampled_from([None, None, 1, 64]),
    "measures": st.sampled_from([(), (), ("alpha_farms",), ("randomized_distance",)]),
    "accuracy": st.sampled_from(["reference", "fast"]),
    "vectors": st.booleans(),
}

REFUSAL = re.compile(
    r"(?P<what>.*?) needs (?P<least>[\d.]+ \w+)"
    r"( \(up to (?P<most>.*) if its values span a wide range\))?"
    r", but the memory limit is (?P<limit>[\d.]+ \w+); (?P<advice>.*)"
)
OFFER = re.compile(
    r"this fits(?P<unless> unless the singular values span a wide range)?: (?P<calls>.*)"
)
LESS = re.compile(
    r"no smaller call (?P<sure>fits|is certain to fit): "
    r"effort '(?P<effort>\w+)' with k = 1 needs (?P<least>.*)"
)


def parts_of(error: BaseException) -> re.Match[str]:
    parts = REFUSAL.fullmatch(str(error))
    assert parts is not None, error
    return parts


def refusal(A: Any, **call: Any) -> re.Match[str] | None:
    """The parts of what spectrum() says; None if it runs."""
    try:
        unwrap(ss.spectrum)(A, **call)
    except MemoryLimitError as error:
        return parts_of(error)
    return None


def offers(parts: re.Match[str], call: dict[str, Any]) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Each call that a refusal offers, and whether it is sure of it."""
    for clause in parts["advice"].split("; "):
        result = OFFER.fullmatch(clause)
        if result is None:
            assert LESS.fullmatch(clause), clause
            continue
        for words in result["calls"].split(", or "):
            changes: dict[str, Any] = {}
            if effort := re.search(r"effort '(\w+)'", words):
                changes["effort"] = effort[1]
            if k := re.search(r"k = (\d+)", words):
                changes["k"] = int(k[1])
            if "without " in words:
                changes["measures"] = ()
            if "panel_rows" in words:
                changes["panel_rows"] = None
            assert changes, words
            if "effort" in changes and "k" in changes:  # the least of all
                changes |= {"panel_rows": None, "measures": ()}
            yield result["unless"] is None, {**call, **changes}


def late(parts: re.Match[str] | None) -> bool:
    """Whether the search began, and was refused as its basis grew."""
    return parts is not None and ", which grew to " in parts["what"]


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(list(SPECTRA)),
    st.sampled_from(SHAPES),
    st.sampled_from(["float32", "float64", "float16"]),
    st.fixed_dictionaries(CALLS),
    st.floats(0.02, 1.1),
)
def test_what_is_offered_runs_at_that_limit(
    kind: str, shape: tuple[int, int], dtype: str, call: dict[str, Any], share: float
) -> None:
    A = ss.matrix(SPECTRA[kind](*shape).astype(dtype))
    least, _ = least_and_most(A, **call, memory_limit=1)  # of the cheapest that does it
    limit = max(int(share * least), 1)
    call = {**call, "memory_limit": limit}
    parts = refusal(A, **call)
    assert parts is not None or limit >= least
    if parts is None:
        return
    for sure, less in offers(parts, call):
        again = refusal(A, **less)
        assert again is None or (not sure and late(again)), (parts[0], less, again and again[0])
    if not late(parts):
        assert bytes_of(parts["least"]) >= least
        again = refusal(A, **call | {"memory_limit": least})
        assert again is None or (parts["most"] and late(again)), (parts[0], again and again[0])
        below = refusal(A, **call | {"memory_limit": least - 1})
        assert below is not None
        assert not late(below)
    figure = parts["most"] or parts["least"]
    enough = refusal(A, **call | {"memory_limit": figure})
    assert enough is None or "or more" in parts["what"], (parts[0], enough and enough[0])
    if nothing := LESS.fullmatch(parts["advice"]):
        fits = bytes_of(nothing["least"]) <= call["memory_limit"]
        assert fits == (nothing["sure"] == "is certain to fit")
        least_call = {**call, "effort": nothing["effort"], "k": 1}
        least_call |= {"measures": (), "panel_rows": None, "memory_limit": nothing["least"]}
        again = refusal(A, **least_call)
        assert again is None or late(again)


@pytest.mark.parametrize("limit", ["5MiB", "40MiB", "70MiB", "100MiB", "300MiB"])
@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_what_is_offered_for_large_matrices_is_admitted(
    effort: str, limit: str, tmp_path: Path
) -> None:
    """Above the least memory that a call works with, panels and copies count; of files too."""
    path = tmp_path / "large.npy"
    with open(path, "wb") as file:  # takes no space
        header = {"descr": "<f4", "fortran_order": False, "shape": (9000, 5000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * 9000 * 5000)
    A = ss.matrix(path)

    call = {"effort": effort, "k": 700, "memory_limit": limit, "num_threads": 2}
    refused = admission(A, **call)
    assert (refused is None) == (least_and_most(A, **call)[0] <= int(limit[:-3]) * 2**20)
    if refused is not None:
        parts = parts_of(refused)
        assert all(admission(A, **less) is None for _, less in offers(parts, call))
        assert admission(A, **call | {"memory_limit": parts["least"]}) is None


@pytest.mark.parametrize(
    ("dtype", "loads"), [(np.float32, False), (np.float16, True)], ids=["never held", "held first"]
)
def test_a_basis_that_grows_lets_go_of_the_file(tmp_path: Path, dtype: Any, loads: bool) -> None:
    """A call that fits when the file is read at each pass is not refused because it was loaded."""
    path = tmp_path / "A.npy"
    np.save(path, ks.exponential(300, 300, rate=0.2)[0].astype(dtype))
    A = ss.matrix(path)
    call: dict[str, Any] = {"effort": "density", "k": 100, "num_threads": 1}
    expected, most = least_and_most(A, **call, memory_limit=100_000)
    held = expected + A.nbytes
    assert expected < most
    assert (held <= most) == loads
    wanted = ss.spectrum(A.load(), **call, memory_limit=most)
    for limit in range(most, 700_000, 60_000 if loads else 15_000):  # every value takes more
        before = bytes_read()
        spectrum = ss.spectrum(path, **call, memory_limit=limit)
        assert bytes_read() - before >= spectrum.passes * A.nbytes  # no room for it and the basis
        assert spectrum.effort == "density"
        assert spectrum.top.tobytes() == wanted.top.tobytes()
    refused = refusal(path, **call, memory_limit=expected)
    assert refused is not None
    assert late(refused)
    assert expected < bytes_of(refused["least"]) <= most + 2**10
    again = ss.spectrum(path, **call, memory_limit=refused["least"])
    assert again.top.tobytes() == wanted.top.tobytes()


@pytest.mark.parametrize("kilobytes", [600, 800, 1000, 1200, 1600, 4000])
def test_what_others_hold_refuses_a_call_or_changes_nothing(kilobytes: int) -> None:
    """Every value replaces a density here, and takes more memory."""
    A = ks.gaussian(400, 400)[0].astype(np.float32)
    call: dict[str, Any] = {"k": 8, "memory_limit": "16 MiB", "num_threads": 1}
    alone = ss.spectrum(A, **call)
    assert "every value is computed, which is cheaper here than effort 'density'" in alone.notes
    try:
        beside = unwrap(ss.spectrum)(A, **call, reserved=2**24 - 1000 * kilobytes)
    except MemoryLimitError:
        assert kilobytes < 1600
    else:
        assert kilobytes > 1200
        assert beside.method == alone.method
        assert beside.measures == alone.measures


def test_a_search_replaces_a_gram_matrix_without_room() -> None:
    """Whatever takes the room: the limit itself, or what else is held within it."""
    A = np.random.default_rng(0).standard_normal((600, 500)).astype(np.float32)
    whole, limited, beside = (
        unwrap(ss.svds)(A, 150, vectors=False, memory_limit=limit, reserved=reserved)
        for limit, reserved in ((6_000_000, 0), (3_000_000, 0), (6_000_000, 3_000_000))
    )
    assert whole.method == "Gram matrix"
    assert limited.method == beside.method == "block Krylov"
    assert beside.s.tobytes() == limited.s.tobytes()


def test_no_row_is_refused_for_what_is_read_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A basis that grows into the room of the next matrix has it: that is read at its turn."""
    numbers = ks.exponential(300, 300, rate=0.2)[0].astype(np.float32)
    tensors = [of_array(f"w{i}", "F32", numbers) for i in range(3)]
    path = write_file(tmp_path / "m.safetensors", *tensors)
    A = ss.open_checkpoint(path)["w0"]
    call: dict[str, Any] = {"effort": "density", "k": 100, "num_threads": 1}
    expected, limit = least_and_most(A, **call, memory_limit=100_000)
    leave_room(monkeypatch, limit - expected)
    assert late(refusal(A, **call, memory_limit=limit, reserved=limit - expected))
    scan = ss.scan(path, **call, memory_limit=limit)
    assert [(row["status"], row["effort"]) for row in scan] == [("analysed", "density")] * 3


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(partial(ss.randomized_svd, k=3), id="randomized_svd"),
        pytest.param(ss.svdvals, id="svdvals"),
        pytest.param(ss.moments, id="moments"),
    ],
)
def test_the_named_limit_has_room_for_scales(call: Callable[..., Any], tmp_path: Path) -> None:
    """A megabyte of scales is held beside a megabyte of codes for as long as a call runs."""
    codes = np.random.default_rng(0).integers(0, 0x7E, (1024, 1024), dtype=np.uint8)
    scales = np.ones((512, 512), np.float32)
    name = "model.layers.0.self_attn.q_proj.weight"
    write_file(
        tmp_path / "model.safetensors",
        Stored(name, "F8_E4M3", codes.shape, codes.tobytes()),
        of_array(f"{name}_scale_inv", "F32", scales),
    )
    quantization = {"quant_method": "fp8", "weight_block_size": [2, 2]}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": quantization}))
    matrix = ss.open_checkpoint(tmp_path)[name]
    with pytest.raises(MemoryLimitError) as refused:
        call(matrix, memory_limit=1)
    named = re.search(r" needs ([\d.]+ \w+), but the memory limit is 1 B", str(refused.value))
    assert named
    least = bytes_of(named[1])
    assert least >= scales.nbytes
    call(matrix, memory_limit=least)
    with pytest.raises(MemoryLimitError):
        call(matrix, memory_limit=least - least // 100 - 1)
