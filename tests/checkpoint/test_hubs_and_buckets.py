# SPDX-License-Identifier: BSD-3-Clause
"""Models on a hub and in buckets: revisions, logins, lists of files, and what is said of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.adapters import lora, write_adapter
from tests.support.checkpoints import write_file
from tests.support.file_server import Fault
from tests.support.remote import served
from tests.support.scans import bits, model, normal
from tests.support.store_servers import COMMIT, BucketServer, HubServer

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.errors import CheckpointError

TOKEN = "hf_s3cr3t"
HOW: dict[str, Any] = {"effort": "top", "k": 2}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    folder = model(tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with served(folder, HubServer) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    folder = tmp_path / "bucket"
    model(folder / "a model")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", TOKEN)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with served(folder, BucketServer) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


@pytest.mark.parametrize("revision", ["", "@main", "@v1", "@refs/pr/3", f"@{COMMIT}"])
def test_a_model_on_the_hub_is_read_at_the_commit_of_its_revision(
    revision: str, hub: HubServer
) -> None:
    hub.token = TOKEN
    far, here = ss.open_checkpoint(f"hf://org/model{revision}"), ss.open_checkpoint(hub.folder)
    assert str(far.path) == f"hf://org/model@{COMMIT}"
    assert list(far) == list(here)
    np.testing.assert_array_equal(np.asarray(far["w.3"]), np.asarray(here["w.3"]))
    assert not (hub.folder.parent / "hub").exists()  # nothing is stored


def test_a_scan_of_the_hub_has_the_rows_of_a_folder_and_no_token(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.token = TOKEN
    journal = tmp_path / "x.jsonl"
    result, here = ss.scan("hf://org/model", resume=journal, **HOW), ss.scan(hub.folder, **HOW)
    assert bits(result.rows) == bits(here.rows)
    text = journal.read_text()
    assert result.checkpoint == f"hf://org/model@{COMMIT}"
    assert TOKEN not in text
    assert "s1gnature" not in text
    sent = [r for r in hub.requests if "authorization" in r.headers]
    assert {r.headers["host"].partition(":")[0] for r in sent} == {"127.0.0.1"}
    assert any(r.headers["host"].startswith("localhost") for r in hub.requests)
    again = ss.scan(result.checkpoint, resume=journal, **HOW)
    assert bits(again.rows) == bits(here.rows)


def test_files_and_folders_of_a_model_on_the_hub(hub: HubServer) -> None:
    (hub.folder / "part").mkdir()
    write_file(hub.folder / "part" / "model.safetensors", normal("x", 5, 4))
    assert list(ss.open_checkpoint("hf://org/model@main/part")) == ["x"]
    name = "model-00001-of-00002.safetensors"
    far = ss.open_checkpoint(f"hf://org/model/{name}")
    assert far.files == (far.path,)
    with pytest.raises(CheckpointError, match=rf"{COMMIT}/none.safetensors: there is no such"):
        ss.open_checkpoint("hf://org/model/none.safetensors")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("hf://org/other", r"hf://org/other@main: there is no such model, or a private one: .*log"),
        ("hf://org/model@v9", r"hf://org/model@v9: the model has no revision 'v9'"),
        ("hf://org/model@v1@v2", r"an address on the hub has the form hf://org/model@revision"),
    ],
)
def test_what_the_hub_does_not_have(url: str, words: str, hub: HubServer) -> None:
    with pytest.raises(CheckpointError, match=words):
        ss.open_checkpoint(url)


def test_a_gated_model_and_a_hub_that_is_not_reached(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated = True
    with pytest.raises(CheckpointError, match=r"the model is gated: request access") as caught:
        ss.open_checkpoint("hf://org/model")
    assert TOKEN not in str(caught.value)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"the hub cannot be reached .*: check the netw"):
        ss.open_checkpoint("hf://org/model")


def test_a_token_that_ends_while_reading(hub: HubServer) -> None:
    far = ss.open_checkpoint("hf://org/model")
    hub.token = "another"
    with pytest.raises(CheckpointError, match=r"refused \(401 Unauthorized\): log in with `hf"):
        far["w.0"].load()


def test_an_adapter_on_the_hub(hub: HubServer) -> None:
    rng = np.random.default_rng(0)
    b, a = (rng.standard_normal(shape).astype(np.float32) for shape in ((40, 4), (4, 30)))
    for path in hub.folder.iterdir():
        path.unlink()
    write_adapter(hub.folder, lora("q_proj", b, a))
    result, here = ss.scan("hf://org/model", **HOW), ss.scan(hub.folder, **HOW)
    assert bits(result.rows) == bits(here.rows)
    assert list(open_adapter("hf://org/model")) == list(open_adapter(hub.folder))


def test_stacked_experts_on_the_hub_are_read_once(hub: HubServer) -> None:
    """Each matrix has columns of one tensor that lie apart."""
    for path in hub.folder.iterdir():
        path.unlink()
    rng = np.random.default_rng(0)
    b, a = (rng.standard_normal(n).astype(np.float32) for n in ((8192, 64), (64, 4096)))
    write_adapter(hub.folder, lora("mlp.experts", b, a), target_parameters=["experts.down_proj"])
    here = ss.scan(hub.folder, **HOW)
    far = open_adapter("hf://org/model")
    before = hub.sent_bytes
    scan = ss.scan(far, **HOW)
    assert len(scan.analysed) == 16
    assert bits(scan.rows) == bits(here.rows)
    assert hub.sent_bytes - before < 2 * (a.nbytes + b.nbytes)
    again = pickle.loads(pickle.dumps(far["mlp.experts.down_proj[3]"]))
    np.testing.assert_array_equal(np.asarray(again.B), b[:, 3::16])


def test_a_folder_of_a_bucket(bucket: BucketServer) -> None:
    here = bucket.folder / "a model"
    scan = ss.scan("s3://bucket/a model", **HOW)
    assert bits(scan.rows) == bits(ss.scan(here, **HOW).rows)
    assert scan.checkpoint == "s3://bucket/a model"
    assert TOKEN not in repr(ss.open_checkpoint("s3://bucket/a model").origin)
    (here / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"shards missing from the folder: 'model-00002"):
        ss.open_checkpoint("s3://bucket/a model")


def test_a_bucket_that_refuses(bucket: BucketServer) -> None:
    bucket.answer = lambda request: Fault(status=403)
    with pytest.raises(CheckpointError, match=r"s3://other/x.*\(403 .*AWS_SKIP_SIGNATURE=true"):
        ss.open_checkpoint("s3://other/x")


def test_a_folder_of_a_bucket_of_moto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from an independent server of S3, which is too large for the extra `test`."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    import boto3

    folder = model(tmp_path)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": TOKEN,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": url,
        }.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        client.create_bucket(Bucket="weights")
        for path in folder.iterdir():
            client.upload_file(str(path), "weights", f"m/{path.name}")
        scan = ss.scan("s3://weights/m", **HOW)
        assert bits(scan.rows) == bits(ss.scan(folder, **HOW).rows)
        far = ss.open_checkpoint("s3://weights/m")
        client.put_object(Bucket="weights", Key="m/model-00001-of-00002.safetensors", Body=b"x")
        with pytest.raises(CheckpointError, match="the file changed since it was opened"):
            far["w.0"].load()
    finally:
        server.stop()
