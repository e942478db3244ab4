# SPDX-License-Identifier: BSD-3-Clause
"""No call takes more memory than its formula says, nor more than the limit it was given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.adapters import factors, lora, write_adapter
from tests.support.peak_memory import peak, written

import sigmascope as ss
from sigmascope._execution import memory
from sigmascope._execution.memory import MINIMUM, OVERHEAD
from sigmascope._execution.passes import MIB, PassLayout
from sigmascope.matrices.joins import partly_loaded

LIMITS = ("1GiB", "90MiB", "70MiB")
_IMPORT = "import sigmascope"
_SCAN = """
import sigmascope as ss
options = dict(k={k}, tol=1e-3, effort={effort!r}, memory_limit={limit}, num_threads={threads})
row = ss.scan({path!r}, reading={reading!r}, **options)["w"]
assert row["status"] == "analysed", row["reason"]
assert row["converged"] and row["effort"] == {ran!r}
"""
_CALL = """
import sigmascope as ss
A = ss.open_checkpoint({path!r})["w"]
found = ss.{call}(A, {arguments} memory_limit={limit}, num_threads={threads})
"""


@pytest.fixture(scope="module")
def imported() -> int:
    """Resident bytes of the imported package."""
    return peak(_IMPORT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("large")


def test_the_measurement_sees_what_is_allocated() -> None:
    held = np.ones(2**24)  # of this process: it must not count
    more = peak("import numpy as np; a = np.ones(2**23)") - peak("import numpy as np")
    assert 0.9 * 2**26 <= more <= 1.2 * 2**26
    assert held.sum() == 2**24


def check(
    path: Path, imported: int, *, threads: int = 2, reading: str = "buffered", **options: Any
) -> None:
    """Scan in a fresh interpreter: within the plan, which is within the limit."""
    limit = options["limit"]
    planned = ss.plan_scan(
        path, effort=options["effort"], k=options["k"], memory_limit=limit, num_threads=threads
    )["w"]
    assert planned.refused is None
    assert planned.effort == options["ran"]
    assert planned.peak_bytes <= max(limit, MINIMUM)
    used = (
        peak(_SCAN.format(path=str(path), threads=threads, reading=reading, **options)) - imported
    )
    assert used <= planned.peak_bytes, f"{used / MIB:.0f} of {planned.peak_bytes / MIB:.0f} MiB"


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize(
    ("threads", "reading"), [(1, "buffered"), (2, "buffered"), (5, "buffered"), (2, "uncached")]
)
def test_a_matrix_ten_times_the_limit(
    folder: Path, imported: int, threads: int, reading: str
) -> None:
    path = written(folder, 82_000, 2048)
    limit = 64 * MIB
    assert path.stat().st_size >= 10 * limit
    options = {"limit": limit, "effort": "density", "ran": "density", "k": 16}
    check(path, imported, threads=threads, reading=reading, **options)


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize("limit", [64 * MIB, 128 * MIB, 512 * MIB])
@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("effort", ["top", "density"])
def test_a_wide_matrix_read_again_and_held(
    folder: Path, imported: int, limit: int, dtype: str, effort: str
) -> None:
    path = written(folder, 2048, 11008, dtype)
    check(path, imported, limit=limit, effort=effort, ran=effort, k=24)


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize(
    ("shape", "dtype", "limit"),
    [
        ((2048, 2048), "F32", 128),  # read again
        ((3000, 2500), "F64", 512),  # held
        ((1024, 50_000), "BF16", 96),  # wide
        ((400_000, 60), "F32", 96),  # tall
    ],
)
def test_every_value(
    folder: Path, imported: int, shape: tuple[int, int], dtype: str, limit: int
) -> None:
    path = written(folder, *shape, dtype)
    check(path, imported, limit=limit * MIB, effort="exact", ran="exact", k=8)


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize(
    ("call", "arguments", "need"),
    [
        ("svds", "24, method='krylov',", lambda r: memory.krylov_need(r, 24, 64, 500, 4)),
        ("svds", "24, method='gram',", lambda r: memory.gram_need(r, 24)),
        ("svds", "24, method='krylov', precision='float64',", None),
        ("randomized_svd", "24, passes=3,", lambda r: memory.low_rank_need(r, 24, 34, 3, 4)),
        ("spectral_density", "", lambda r: memory.density_need(r, 32, 12, 4)),
        ("moments", "", memory.elementwise_need),
    ],
)
@pytest.mark.parametrize("limit", [100, 400])
def test_other_calls(
    folder: Path, imported: int, call: str, arguments: str, need: Any, limit: int
) -> None:
    """The limit holds, and the formula is of the size of what is taken: at most 4 times as much."""
    path = written(folder, 9000, 1600)
    work = _CALL.format(
        path=str(path), call=call, arguments=arguments, limit=limit * MIB, threads=2
    )
    used = peak(work) - imported
    assert used <= limit * MIB, f"{used / MIB:.0f} MiB"
    if need is not None:
        reading = PassLayout((9000, 1600), 4, files=limit == 100, threads=2)
        held = 0 if reading.files else 9000 * 1600 * 4
        assert need(reading).plus(held).peak <= 4 * max(used, OVERHEAD)


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize(("limit", "method"), [(400, "Gram matrix"), (800, "full decomposition")])
def test_a_decomposition_of_the_matrix_itself(
    folder: Path, imported: int, limit: int, method: str
) -> None:
    """A third of all triplets: of A itself where that fits, else of its Gram matrix."""
    path = written(folder, 9000, 1600)
    call = _CALL.format(
        path=str(path), call="svds", arguments="600, method='gram',", limit=limit * MIB, threads=2
    )
    used = peak(call + f"assert found.method == {method!r}, found.method\n") - imported
    assert used <= limit * MIB, f"{used / MIB:.0f} MiB"


@pytest.mark.unsanitized
def test_a_search_that_outgrows_the_limit_is_refused_within_it(folder: Path, imported: int) -> None:
    """All columns of the basis are read out where values span much: too many are refused."""
    path = folder / "graded.npy"
    rng = np.random.default_rng(0)
    left = np.linalg.qr(rng.standard_normal((30_000, 400)))[0]
    right = np.linalg.qr(rng.standard_normal((2400, 400)))[0]
    sigma = np.concatenate([np.logspace(0, -4, 20), np.full(380, 1e-4)])
    np.save(path, ((left * sigma) @ right.T).astype(np.float32))
    work = f"""
import sigmascope as ss
options = dict(effort="top", k=24, precision="float32", memory_limit="72MiB", num_threads=2)
try:
    ss.spectrum({str(path)!r}, **options)
except ss.MemoryLimitError as refused:
    assert "columns, needs " in str(refused) and "the memory limit is 72 MiB" in str(refused)
else:
    raise AssertionError("not refused")
"""
    assert peak(work) - imported <= 72 * MIB


_COMPARE = """
import sigmascope as ss
options = dict(effort={effort!r}, k=32, memory_limit={limit}, num_threads=2)
found = ss.compare({before!r}, {after!r}, **options)
assert all(row["status"] == "analysed" for row in found.rows), found.rows[0]["reason"]
"""


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize("effort", ["top", "density"])
@pytest.mark.parametrize("limit", [75, 145, 315])
@pytest.mark.parametrize("shape", [(12_000, 1400), (1400, 12_000)])
def test_comparisons_stay_within_the_limit(
    folder: Path, imported: int, effort: str, limit: int, shape: tuple[int, int]
) -> None:
    """From files again and again, held and one spectrum after the other, or two at once.

    The difference of wide matrices is added up once if there is memory for that.
    """
    before = written(folder, *shape, "BF16")
    after = folder / f"after{shape[0]}.safetensors"
    if not after.exists():
        content = bytearray(before.read_bytes())
        codes = np.frombuffer(content, "<u2", offset=len(content) - 2 * 12_000 * 1400)
        codes[::97] ^= 3
        after.write_bytes(content)
    work = _COMPARE.format(before=str(before), after=str(after), effort=effort, limit=limit * MIB)
    used = peak(work) - imported
    assert used <= limit * MIB, f"{used / MIB:.0f} of {limit} MiB"


_CHANGE = """
import sigmascope as ss
from sigmascope.solvers.change import change
a, b = (ss.matrix({path!r}) for _ in range(2))
change(a[:1], b[:1])
"""


@pytest.mark.unsanitized
def test_a_look_at_two_matrices_takes_no_more_panels_than_at_one(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones((10_000, 1024), np.float32))
    ready = _CHANGE.format(path=str(path))
    used = peak(f"{ready}change(a, b, num_threads=2)\n") - peak(ready)
    of_one = PassLayout((10_000, 1024), 4, files=True, threads=2)
    assert used <= memory.elementwise_need(of_one).nbytes + 4 * MIB, f"{used / MIB:.0f} MiB"


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize("effort", ["top", "density"])
@pytest.mark.parametrize("limit", [160, 600])
def test_adapters_of_a_base_stay_within_the_limit(
    folder: Path, imported: int, effort: str, limit: int
) -> None:
    """The elements of the change alone would take 128 MiB."""
    before = written(folder, 24_000, 1400, "BF16")
    after = write_adapter(folder / "lora", lora("w", *factors(24_000, 1400, 32)), r=32)
    renamed = folder / "base.safetensors"
    if not renamed.exists():
        content = before.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = content[8 : 8 + length].replace(b'"w"', b'"w.weight"', 1)
        renamed.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    work = _COMPARE.format(before=str(renamed), after=str(after), effort=effort, limit=limit * MIB)
    used = peak(work) - imported
    assert used <= limit * MIB, f"{used / MIB:.0f} of {limit} MiB"


# -------------------------------------------------------------------------------- the formulas


@pytest.mark.parametrize("stored_by_columns", [False, True])
def test_a_part_is_held_of_what_does_not_fit(tmp_path: Path, stored_by_columns: bool) -> None:
    """The rows that come first stay in memory: no bit changes, and less is read."""
    rng = np.random.default_rng(0)
    path = tmp_path / "a.npy"
    np.save(path, rng.standard_normal((60_000, 256)).astype(np.float32))
    A = ss.matrix(path)
    A = A.T if stored_by_columns else A
    part, held = partly_loaded(A, A.nbytes // 3)
    assert A.nbytes // 3 - 1024 <= held <= A.nbytes // 3
    assert part.shape == A.shape
    assert not part.in_memory
    assert np.array_equal(np.asarray(part), np.asarray(A))
    assert partly_loaded(A, 100) == (A, 0)
    options: dict[str, Any] = {"k": 8, "effort": "top", "num_threads": 2}
    whole = ss.spectrum(A, memory_limit="1GiB", **options)
    tight = ss.spectrum(A, memory_limit="90MiB", **options)
    assert whole.top.tobytes() == tight.top.tobytes()
    assert whole.top_errors.tobytes() == tight.top_errors.tobytes()
    planned = [
        ss.plan_scan(tmp_path, memory_limit=limit, effort="top", k=8)["a"] for limit in LIMITS
    ]
    assert planned[0].held
    assert planned[0].read_bytes < planned[1].read_bytes < planned[2].read_bytes


def output_of(work: str) -> str:
    """Return what a fresh interpreter prints."""
    command = [sys.executable, "-c", work]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


_MAPPED = """
import numpy as np, sigmascope as ss

def mapped():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * 4096

held = ss.matrix({path!r})
held[: 9 * 2**10].load()
before = mapped()
for rows in range(9 * 2**10, 12 * 2**10, 77):
    held[:rows].load()
print(mapped() - before)
"""


@pytest.mark.unsanitized
def test_what_is_freed_leaves_no_address_space_behind(tmp_path: Path) -> None:
    """Load 40 matrices of 9 to 12 MiB, one after the other."""
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((12 * 1024, 256), np.float32))
    printed = output_of(_MAPPED.format(path=str(path)))
    assert int(printed) <= 4 * MIB


_KEPT = """
import numpy as np, sigmascope as ss
from sigmascope._execution.memory import keeping

def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 / 2**20

def load(rows):
    held = ss.matrix({path!r})[:rows].load()
    return resident() if held.in_memory else None

before = resident()
with keeping():
    seen = [load(40 * 1024)]  # rows of 1 KiB
    seen += [resident(), load(40 * 1024), load(64 * 1024), resident()]
print(*(round(x - before) for x in [*seen, resident()]))
"""


@pytest.mark.unsanitized
def test_what_is_freed_is_kept_up_to_what_was_held_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((64 * 1024, 256), np.float32))
    printed = output_of(_KEPT.format(path=str(path)))
    first, freed, again, larger, kept, after = map(int, printed.split())
    slack = 4
    assert 40 <= first <= 40 + slack
    assert freed >= 40  # its pages are still there,
    assert again <= first + slack  # and are those of the next
    assert 64 <= larger <= 64 + slack  # they make room where another size is held
    assert kept >= 64
    assert after <= 32 + slack
