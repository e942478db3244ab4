# SPDX-License-Identifier: BSD-3-Clause
r"""Time of a scan from a server on the loopback, compared with that of the same local files.

    cd benchmarks/experiments
    python remote_scan.py --bytes 2e9 --folder FOLDER --rounds 3

The checkpoint is made once, in shards. The server runs in a process of its own. Rows must be equal
to the bit, and nothing may be on disk that was not there before. The link is unlimited; a ratio of
at most 1.2 is the aim.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import sigmascope as ss
from sigmascope.scanning.rows import TIMING

SHARDS, ROWS, COLUMNS = 8, 4096, 2048
AIM = 1.2


class Handler(SimpleHTTPRequestHandler):
    """Parts of files, sent by the system from its cache."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        with path.open("rb") as file:
            size = path.stat().st_size
            start, _, last = self.headers.get("Range", "bytes=0-")[6:].partition("-")
            first, stop = int(start), min(int(last) + 1 if last else size, size)
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{size}")
            self.send_header("Content-Length", str(stop - first))
            self.send_header("ETag", f'"{path.stat().st_mtime_ns}-{size}"')
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(file, first, stop - first)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(folder: Path, port: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    port.send(server.server_address[1])
    server.serve_forever()


def make(folder: Path, nbytes: int) -> None:
    """Write shards of matrices in bfloat16, and their index; nothing if they are there."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    count = max(nbytes // (2 * ROWS * COLUMNS), SHARDS)
    places: dict[str, str] = {}
    for shard in range(SHARDS):
        name = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        numbers = range(shard, count, SHARDS)
        header, end = {}, 0
        for i in numbers:
            data = {"dtype": "BF16", "shape": [ROWS, COLUMNS]}
            header[f"layers.{i}.mlp.up_proj.weight"] = data | {
                "data_offsets": [end, end + 2 * ROWS * COLUMNS]
            }
            end += 2 * ROWS * COLUMNS
        places |= dict.fromkeys(header, name)
        text = json.dumps(header).encode()
        with (folder / name).open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for i in numbers:
                x = np.random.default_rng(i).standard_normal((ROWS, COLUMNS), dtype=np.float32)
                file.write((x.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    index.write_text(json.dumps({"weight_map": places}))


def scanned(source: str, how: dict[str, Any]) -> tuple[float, list[dict[str, Any]]]:
    began = time.perf_counter()
    rows = ss.scan(source, **how).rows
    seconds = time.perf_counter() - began
    return seconds, [{key: row[key] for key in row if key not in TIMING} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bytes", type=float, default=2e9)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "remote_scan")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--effort", default="density")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    make(given.folder, int(given.bytes))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(given.folder, there), daemon=True)
    server.start()
    url, how = f"http://127.0.0.1:{here.recv()}", {"effort": given.effort}
    temporary = Path(tempfile.gettempdir())
    scanned(str(given.folder), how)  # brings the files into the page cache
    seconds: dict[str, list[float]] = {"local": [], "remote": []}
    for _ in range(given.rounds):
        before = set(temporary.iterdir())
        local, known = scanned(str(given.folder), how)
        remote, result = scanned(url, how)
        assert result == known, "rows differ"
        assert set(temporary.iterdir()) <= before, "a file was left"
        seconds["local"].append(local)
        seconds["remote"].append(remote)
        print(f"local {local:.2f} s, remote {remote:.2f} s")
    server.terminate()
    ratio = min(seconds["remote"]) / min(seconds["local"])
    print(f"ratio of the fastest {ratio:.2f}, aim {AIM}")
    if given.json is not None:
        given.json.write_text(json.dumps(seconds | {"ratio": ratio}))


if __name__ == "__main__":
    main()
