# SPDX-License-Identifier: BSD-3-Clause
"""Digests of many results, bit by bit, for changes that may not change any of them.

``python -m tests.golden before.json`` writes the file if it does not exist. Otherwise it computes
the same results again, names those whose bits differ, and exits with status 1 if there are any.
Every instruction set of the machine is used. Cases are those of the campaign (all public solvers,
dtypes, layouts, precisions, options), and the rows of a scan and of a comparison. The bits of
LAPACK depend on the processor, so both files must come from the same machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaign.runner import available, environment

SEED, CASES = 19, 400
UNCOMPARED = {"seconds", "num_threads"}
"""Fields of results that may differ from run to run."""


def update(digest: Any, value: Any) -> None:
    """Feed a result to a digest: arrays and floats by their bits, containers item by item."""
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, float | np.floating):
        digest.update(np.float64(value).tobytes())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.name not in UNCOMPARED:
                digest.update(field.name.encode())
                update(digest, getattr(value, field.name))
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            digest.update(str(key).encode())
            update(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(str(len(value)).encode())
        for item in value:
            update(digest, item)
    elif isinstance(value, bool | int | str | type(None)):
        digest.update(repr(value).encode())
    else:
        digest.update(type(value).__name__.encode())


def digest_of(value: Any) -> str:
    digest = hashlib.sha256()
    update(digest, value)
    return digest.hexdigest()[:16]


def campaign_results() -> Iterator[tuple[str, Any]]:
    """Answer every case of the campaign; the answers are recorded where its checks get them."""
    from tests.campaign import calls, measures, streams, triplets
    from tests.campaign.cases import draw

    answers: list[Any] = []

    def recording(call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any, **options: Any) -> Any:
            answers.append(call(*arguments, **options))
            return answers[-1]

        return recorded

    for module in (measures, streams, triplets):
        module.call = recording(module.call)  # type: ignore[attr-defined]
    triplets.work = lambda *_: None  # type: ignore[assignment]  # no timing
    for index in range(CASES):
        case = draw(SEED, index)
        answers.clear()
        calls.run(case)
        yield f"{case.function} {case.kind} {case.dtype} {case.layout} {index}", list(answers)


def table_results() -> Iterator[tuple[str, Any]]:
    """The rows of scans of two small checkpoints, and of their comparison."""
    import sigmascope as ss
    from tests.support.checkpoints import write_sharded
    from tests.support.scans import bits, model, normal

    with tempfile.TemporaryDirectory() as folder:
        before = model(Path(folder) / "before")
        after = write_sharded(
            Path(folder) / "after",
            {
                "model.safetensors": [
                    normal(f"w.{i}", 20 + 13 * (i % 5), 30 + 7 * (i % 3), seed=i % 7)
                    for i in range(12)
                ]
            },
        )
        for effort in ("top", "density", "exact"):
            yield f"scan {effort}", bits(ss.scan(before, k=4, effort=effort).rows)
            yield f"compare {effort}", bits(ss.compare(before, after, k=4, effort=effort).rows)


def computed() -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [*campaign_results(), *table_results()]
        return {name: digest_of(result) for name, result in results}


def main(arguments: list[str]) -> int:
    if arguments == ["--compute"]:
        print(json.dumps(computed()))
        return 0
    file = Path(arguments[0])
    digests = {}
    for isa in available():
        command = [sys.executable, "-m", "tests.golden", "--compute"]
        done = subprocess.run(command, env=environment(isa), stdout=subprocess.PIPE, check=True)
        digests[isa] = json.loads(done.stdout.splitlines()[-1])
        print(f"{isa}: {len(digests[isa])} results")
    if not file.exists():
        file.write_text(json.dumps(digests, indent=1), encoding="utf-8")
        return 0
    before = json.loads(file.read_text(encoding="utf-8"))
    changed = [
        f"{isa}: {name}"
        for isa in sorted(before.keys() | digests.keys())
        for name in sorted(before.get(isa, {}).keys() | digests.get(isa, {}).keys())
        if before.get(isa, {}).get(name) != digests.get(isa, {}).get(name)
    ]
    print("\n".join(changed) or "all bits are equal")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
