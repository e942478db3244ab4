# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints behind URLs: what is requested, what is read, and what is said where that fails."""

from __future__ import annotations

import json
import pickle
import sys
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.file_server import Fault, FileServer, Request
from tests.support.remote import ask_first_for, read_in_pieces, retry, served
from tests.support.scans import model, normal

import sigmascope as ss
from sigmascope.errors import CheckpointError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with served(model(tmp_path, 5)) as running:
        yield running


def same(url: Any, path: Path, names: int) -> None:
    far, here = ss.open_checkpoint(url), ss.open_checkpoint(path)
    assert list(far) == list(here)
    assert len(far) == names
    assert far.info() == here.info()
    for name in here:
        np.testing.assert_array_equal(np.asarray(far[name]), np.asarray(here[name]))


# ---------------------------------------------------------------------------------- what is opened


def test_a_folder_behind_a_url_is_read_as_one_here(server: FileServer) -> None:
    same(server.url, server.folder, 9)


def test_one_request_reads_the_header_of_a_file(server: FileServer) -> None:
    name = "model-00001-of-00002.safetensors"
    far = ss.open_checkpoint(f"{server.url}/{name}")
    (request,) = server.asked(name)
    assert (request.start, request.stop) == (0, 1 << 20)
    assert str(far.path) == f"{server.url}/{name}"
    assert far.files == (far.path,)
    assert [r.file for r in server.requests] == [name, "config.json", "params.json"]


def test_an_index_behind_a_url_is_read(server: FileServer) -> None:
    same(f"{server.url}/model.safetensors.index.json", server.folder, 9)


def test_a_header_longer_than_the_first_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_first_for(monkeypatch, 1000)
    tensors = [Stored(f"w.{i}", "F32", (2, 2)) for i in range(500)]
    write_file(tmp_path / "model.safetensors", *tensors)
    with served(tmp_path) as server:
        far = ss.open_checkpoint(f"{server.url}/model.safetensors")
        assert len(far) == 500
        assert len(server.asked("model.safetensors")) == 2
        name = tensors[-1].name
        here = ss.open_checkpoint(tmp_path)
        np.testing.assert_array_equal(np.asarray(far[name]), np.asarray(here[name]))


def test_npy_and_torch_files_behind_urls(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    np.save(tmp_path / "x.npy", np.asfortranarray(np.arange(12.0).reshape(3, 4)))
    weights = {"a": np.ones((3, 5), np.float32), "b": np.arange(6.0).reshape(2, 3)}
    torch.save({name: torch.from_numpy(x) for name, x in weights.items()}, tmp_path / "weights.bin")
    with served(tmp_path) as server:
        same(f"{server.url}/x.npy", tmp_path / "x.npy", 1)
        same(f"{server.url}/weights.bin", tmp_path / "weights.bin", 2)


def test_scales_and_fused_weights_are_read_with_the_configuration(tmp_path: Path) -> None:
    codes = np.arange(128 * 64, dtype=np.uint8).reshape(128, 64) % 100
    qkv = normal("model.layers.0.self_attn.qkv_proj.weight", 24, 16)
    write_file(
        tmp_path / "model.safetensors",
        Stored("w.weight", "F8_E4M3", (128, 64), codes.tobytes()),
        of_array("w.weight_scale_inv", "F32", np.full((2, 1), 0.5, np.float32)),
        qkv,
    )
    config = {"model_type": "phi3", "num_attention_heads": 2, "num_key_value_heads": 1}
    config |= {"hidden_size": 16, "head_dim": 6}
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [64, 64]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with served(tmp_path) as server:
        same(server.url, tmp_path, 4)
        far = ss.open_checkpoint(server.url)
        before = len(server.requests)
        for _ in range(3):
            far["w.weight"]
        assert len(server.requests) == before + 1  # the scales, once


def test_ranks_behind_urls(tmp_path: Path) -> None:
    for rank in range(2):
        tensor = normal("layers.0.attention.wq.weight", 4, 8, seed=rank)
        write_file(tmp_path / f"consolidated.0{rank}.safetensors", tensor)
    paths = sorted(tmp_path.iterdir())
    with served(tmp_path) as server:
        far = ss.open_checkpoint([f"{server.url}/{path.name}" for path in paths])
        here = ss.open_checkpoint(paths)
        name = "layers.0.attention.wq.weight"
        np.testing.assert_array_equal(np.asarray(far[name]), np.asarray(here[name]))


def test_matrices_of_a_url_are_computed_by_other_processes(server: FileServer) -> None:
    far, here = ss.open_checkpoint(server.url)["w.4"], ss.open_checkpoint(server.folder)["w.4"]
    again = pickle.loads(pickle.dumps(far.T[2:, 1:]))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(here.T[2:, 1:]))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        result, known = (ss.svds(a, k=3, executor=pool).s for a in (far, here))
    np.testing.assert_array_equal(result, known)


@pytest.mark.parametrize("part", ["rows", "columns", "steps", "whole"])
def test_parts_of_matrices_are_read_by_ranges(part: str, tmp_path: Path) -> None:
    tall = normal("w", 400, 300)
    write_file(tmp_path / "m.safetensors", tall)
    with served(tmp_path) as server, pytest.MonkeyPatch.context() as patch:
        read_in_pieces(patch, 1 << 12)
        far = ss.open_checkpoint(f"{server.url}/m.safetensors")["w"]
        here = ss.open_checkpoint(tmp_path / "m.safetensors")["w"]
        of: Any = {
            "rows": lambda a: a[37:91],
            "columns": lambda a: a[:, 5:17],
            "steps": lambda a: a[3::7, 2::11],
            "whole": lambda a: a,
        }[part]
        np.testing.assert_array_equal(np.asarray(of(far)), np.asarray(of(here)))


# --------------------------------------------------------------------------------- what goes wrong

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, r"access is refused \(401 Unauthorized\): put a user and a password into the URL"),
        (403, r"access is refused \(403 Forbidden\): .* a new URL if its signature"),
        (404, r"there is no such file \(404 Not Found\): check the address"),
        (410, r"the server answers 410 Gone"),
        (503, r"the server fails, also after retries \(503 Service Unavailable\): try again later"),
        (429, r"the server fails, also after retries \(429 Too Many Requests\): .*--resume"),
    ],
)
def test_an_error_has_the_address_the_status_and_what_helps(
    status: int, words: str, server: FileServer
) -> None:
    server.answer = lambda request: Fault(status=status)
    address = server.url.replace("http://", f"http://user:{SECRET}@")
    name = "model-00001-of-00002.safetensors"
    with pytest.raises(CheckpointError, match=words) as caught:
        ss.open_checkpoint(f"{address}/{name}?X-Signature={SECRET}")
    assert f"{server.url}/{name}" in str(caught.value)
    assert SECRET not in repr(caught.value) + str(caught.value.__cause__)
    assert len(str(caught.value)) < 300
    retried = len(server.asked(name)) > 1
    assert retried == (status in (503, 429))


def test_an_error_of_a_read_names_the_tensor_and_its_bytes(server: FileServer) -> None:
    a = ss.open_checkpoint(server.url)["w.2"]
    server.answer = lambda request: Fault(status=403)
    with pytest.raises(CheckpointError, match=r"tensor 'w.2', bytes \d+ to \d+: access is ref"):
        a.load()
    with pytest.raises(CheckpointError, match=r"tensor 'w.2', bytes \d+ to \d+: access is ref"):
        ss.svds(a, k=2)


def test_one_failed_piece_of_a_long_read_fails_the_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever it is: the others have their numbers, and it has none."""
    read_in_pieces(monkeypatch, 1 << 12)
    write_file(tmp_path / "m.safetensors", normal("w", 60, 300))
    with served(tmp_path) as server:
        for late in (False, True):
            a = ss.open_checkpoint(f"{server.url}/m.safetensors")["w"]
            server.requests.clear()
            end = 40_000 if late else 10_000  # a byte of one piece

            def refuse(request: Request, end: int = end) -> Fault | None:
                return Fault(status=403) if request.start <= end < (request.stop or 0) else None

            server.answer = refuse
            with pytest.raises(CheckpointError, match=r"'w', bytes \d+ to \d+: access is ref"):
                a.load()
            assert len(server.requests) > 1
            server.answer = lambda request: None


def test_no_files(tmp_path: Path) -> None:
    words = r"no \.safetensors file; files there: unknown"
    with served(tmp_path) as server, pytest.raises(CheckpointError, match=words):
        ss.open_checkpoint(server.url)


@pytest.mark.parametrize(
    ("host", "words"),
    [("127.0.0.1:9", "the connection is refused"), ("nowhere.invalid", "its name is unknown")],
)
def test_no_server(host: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    retry(monkeypatch, 1)
    with pytest.raises(CheckpointError, match=rf"cannot be reached, {words}: check the address"):
        ss.open_checkpoint(f"http://{host}/model.safetensors")


def test_a_server_without_ranges(server: FileServer) -> None:
    server.ranges = False
    with pytest.raises(CheckpointError, match=r"does not send parts of a file.*: download the"):
        ss.open_checkpoint(f"{server.url}/model-00001-of-00002.safetensors")


def date_changed(server: FileServer, hour: int) -> None:
    """Let the server state that hour as the time of the last change of all its files."""
    headers = {"Last-Modified": f"Mon, 01 Sep 2025 {hour}:00:00 GMT"}
    server.answer = lambda request: Fault(headers=headers)


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("how", ["tag", "size", "weak", "date"])
def test_a_file_that_changes_ends_with_an_error(how: str, checks: bool, server: FileServer) -> None:
    """Whether the server compares ETags itself, or answers with the new file."""
    server.if_match = checks
    name = "model-00001-of-00002.safetensors"
    if how == "weak":
        server.tags[name] = 'W/"one"'
    if how in ("size", "date"):
        server.tags[name] = None
    if how == "date":
        date_changed(server, hour=10)
    far = ss.open_checkpoint(server.url)
    a = far["w.0"]
    if how == "weak":
        server.tags[name] = 'W/"two"'
    if how == "date":
        date_changed(server, hour=11)
    path = server.folder / name
    path.write_bytes(path.read_bytes() + (b"\0" if how == "size" else b""))
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the file changed since it was opened: open the"):
        a.load()


def test_wrong_lengths_and_cut_connections_are_retried(server: FileServer) -> None:
    here = ss.open_checkpoint(server.folder)["w.4"]
    faults = [Fault(wrong=-8), Fault(wrong=8), Fault(sent=40), Fault(sent=0), Fault(status=500)]
    faults += [Fault(status=429, headers={"Retry-After": "1"}), Fault(seconds=0.1)]
    for fault in faults:
        a = ss.open_checkpoint(server.url)["w.4"]
        left = server.fail(fault)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(here))
        assert not left, fault


def test_lengths_that_stay_wrong_are_an_error(server: FileServer) -> None:
    a = ss.open_checkpoint(server.url)["w.4"]
    server.answer = lambda request: Fault(wrong=-1)
    with pytest.raises(CheckpointError, match=r"sends other bytes than requested"):
        a.load()


def test_redirects_are_followed_without_the_password(tmp_path: Path) -> None:
    source = model(tmp_path / "one", 5)
    with served(source) as target, served(tmp_path) as first:
        there = target.url.replace("127.0.0.1", "localhost")
        first.answer = lambda request: Fault(
            status=302, headers={"Location": f"{there}/{request.file}"}
        )
        address = first.url.replace("http://", f"http://user:{SECRET}@")
        same(address, source, 9)
        assert "authorization" in first.requests[0].headers
        assert not any("authorization" in request.headers for request in target.requests)


def test_an_escaped_password_is_sent_as_it_is(server: FileServer) -> None:
    ss.open_checkpoint(server.url.replace("http://", "http://us%2Fer:p%40s%3As@"))
    kind, token = server.requests[0].headers["authorization"].split()
    assert (kind, b64decode(token)) == ("Basic", b"us/er:p@s:s")


def test_no_text_has_a_secret(server: FileServer) -> None:
    address = server.url.replace("http://", f"http://user:{SECRET}@")
    far = ss.open_checkpoint(f"{address}?token={SECRET}")
    texts = [repr(far), str(far.path), repr(far.path), repr(far.origin), repr(far.files)]
    texts += [repr(far.sources), str(far.info()), repr(far["w.0"]), repr(far.notes)]
    texts += [str(ss.scan(far, effort="top", k=2, include="w.0").header())]
    assert SECRET not in "".join(texts)
    assert any(SECRET in request.path for request in server.requests)


def test_an_unknown_scheme() -> None:
    with pytest.raises(CheckpointError, match=r"ftp://host: unknown scheme; known: hf"):
        ss.open_checkpoint("ftp://user:pass@host/x.safetensors")


@pytest.mark.parametrize(("module", "extra"), [("obstore", "remote"), ("huggingface_hub", "hub")])
def test_a_missing_package_is_named_with_its_extra(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    url = "hf://org/model" if extra == "hub" else "https://host.invalid/m.safetensors"
    with pytest.raises(ImportError, match=rf"pip install 'sigmascope\[{extra}\]'"):
        ss.open_checkpoint(url)


def test_an_empty_file_behind_a_url(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").touch()
    with served(tmp_path) as server, pytest.raises(CheckpointError, match=r"0 bytes, fewer"):
        ss.open_checkpoint(f"{server.url}/m.safetensors")
