# SPDX-License-Identifier: BSD-3-Clause
"""The function apply: write base + weights . changes as a new checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from sigmascope import Checkpoint
from sigmascope.extension import public
from sigmascope.extension.pairs import Scannable, as_scannable, identities
from sigmascope.provenance.merges.journal import write_row

from .application import CHANGED, CONVERTED, COPIED, Application
from .blocks import TensorBlocks
from .codes import DTYPES
from .confirming import compare_copies, verify_folder
from .folder import OutputFolder, check_other_folder
from .plan import TensorPlan, check_replaced, open_base, plan_tensors
from .shards import Row, Shard, ShardWriter, cut_into_shards, read_size, write_index

Progress = Callable[[Row], None]

Source = Scannable | Mapping[str, Any] | str | os.PathLike[str]

LAYOUT = 1
"""Version of the written layout: a run is continued only by the same one."""


@public
def apply(
    base: Source,
    out: str | os.PathLike[str],
    donors: Source | Sequence[Source],
    *,
    weights: Sequence[float] | None = None,
    dtype: str = "base",
    shard_size: str = "5GB",
    reading: str | None = None,
    resume: bool = True,
    progress: Progress | None = None,
) -> Application:
    """Write a base plus weighted changes of adapters and models as a new checkpoint.

    Each number is the exact value of W + sum c_i D_i, rounded once to the written format. Tensors
    that no donor changes keep their bytes. At the end the folder is verified.

    Examples
    --------
    >>> result = apply("base/", "merged/", "adapter/")                      # doctest: +SKIP
    >>> result.verdict, result.survived                                     # doctest: +SKIP
    >>> apply("base/", "mean/", ["one/", "other/"], weights=[0.5, 0.5])     # doctest: +SKIP

    Parameters
    ----------
    base : Checkpoint, path or URL
        The model, in safetensors files.
    out : path
        Folder to write; it must be new, or hold an unfinished run of the same call.
    donors : Adapter, Checkpoint, path, URL, mapping, or a sequence of these
        Adapters, whose change is s B A, and models of the same base, whose change is F - W.
    weights : sequence of float, optional
        The weight of each donor. Default: 1 for each.
    dtype : str
        "bf16", "f16" or "f32" stores all weights in this format; "base" keeps the format of each.
    shard_size : str
        Largest size of a file: "5GB", "500MiB", or bytes without a unit. A larger tensor has a file
        of its own.
    reading : str, optional
        As for :func:`sigmascope.open_checkpoint`.
    resume : bool
        Continue an unfinished run in the folder. It ends with the bytes of a run without a break.
    progress : callable, optional
        Function that is called with the row of each tensor that is written.

    Returns
    -------
    Application
        What was written, how much of the change survived in each tensor, and the verification.

    Raises
    ------
    CheckpointError
        If a file cannot be opened, changes, or the base is not in safetensors files.
    ValueError
        If a change cannot be carried to the base (nothing is written then), the folder holds other
        files, or an option is wrong.
    OSError
        If a file cannot be written. Finished tensors are kept, and the same call continues.
    ImportError
        If there are two donors or more, and SciPy is not installed (extra ``scipy``).

    See Also
    --------
    verify : Decide whether a file is a base plus weighted changes.
    extract : A change as an adapter.

    Notes
    -----
    Sums are made in float64 with a bound of their error, and repeated exactly where the bound
    includes a tie. The bytes therefore do not depend on sizes of blocks and files, or on the number
    of threads. Memory is needed for a few blocks of 32,768 numbers for each thread, and the factors
    of one matrix.
    """
    folder = Path(out)
    limit = read_size(shard_size)
    stored = _read_dtype(dtype)
    original = as_scannable(base, reading)
    plain = open_base(original)
    assert isinstance(original, Checkpoint)
    opened = [as_scannable(donor, reading) for donor in _listed(donors)]
    scales = _read_weights(weights, len(opened))
    check_other_folder(folder, plain)
    output = OutputFolder(folder, _header(original, opened, scales, stored, limit), resume=resume)
    plans = plan_tensors(plain, opened, stored)
    check_replaced(plans, scales)
    shards = cut_into_shards(folder, plans, limit)
    with output.writing() as journal:
        output.check_space(shards)
        rows = _write(output, shards, journal, (scales, plain.reading), progress)
        write_index(folder, shards)
        side = output.copy_side_files(plain, stored)
        verification = verify_folder(original, folder, opened, scales, output.verified)
        verification = compare_copies(verification, shards)
        output.close()
    names = [shard.path.name for shard in shards]
    return Application(
        base=str(original.path),
        path=str(folder),
        donors=tuple(str(donor.path) for donor in opened),
        weights=scales,
        files=(*names, *side),
        rows=[rows[plan.name] for plan in plans],
        verification=verification,
        notes=verification.notes,
    )


def _write(
    output: OutputFolder,
    shards: Sequence[Shard],
    journal: Any,
    how: tuple[Sequence[float], str],
    progress: Progress | None,
) -> dict[str, Row]:
    """Write the files that are not complete; return the rows of all tensors."""
    weights, reading = how
    rows: dict[str, Row] = {}
    writer = ShardWriter(lambda row: write_row(journal, row))
    for shard in shards:

        def write(plan: TensorPlan, put: Callable[[Any], object], path: Path = shard.path) -> Row:
            blocks = TensorBlocks(plan, weights, reading)
            for block in blocks:
                put(block)
            return _row(plan, path, blocks)

        done = shard.listed(output.rows)
        rows |= done
        if shard.path.exists() and len(done) == len(shard.plans):
            continue
        for row in writer.write(shard, done, write):
            rows[row["name"]] = row
            if progress is not None:
                progress(row)
    return rows


def _row(plan: TensorPlan, path: Path, blocks: TensorBlocks) -> Row:
    converted = plan.dtype != plan.entry.dtype
    status = CHANGED if plan.donors else CONVERTED if converted else COPIED
    row: Row = {
        "name": plan.name,
        "status": status,
        "file": path.name,
        "base_dtype": plan.entry.dtype,
        "dtype": plan.dtype,
        "shape": list(plan.entry.shape),
        "nbytes": plan.nbytes,
        "numbers": plan.numbers,
        "donors": plan.donors,
    }
    return row | blocks.statistics.record() if status == CHANGED else row


def _read_dtype(dtype: str) -> str | None:
    if dtype == "base":
        return None
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be 'base', 'bf16', 'f16' or 'f32', not {dtype!r}")
    return DTYPES[dtype]


def _read_weights(weights: Sequence[float] | None, donors: int) -> tuple[float, ...]:
    if not donors:
        raise ValueError("apply needs a donor: an adapter or a model")
    if donors > 1:
        try:
            import scipy.optimize  # noqa: F401
        except ImportError:
            raise ImportError(
                "the verification of two donors or more needs linear programs: "
                "pip install 'sigmascope[scipy]'"
            ) from None
    values = (1.0,) * donors if weights is None else tuple(float(weight) for weight in weights)
    if len(values) != donors:
        raise ValueError(f"{len(values)} weights for {donors} donors")
    if not all(isfinite(value) for value in values):
        raise ValueError(f"weights must be finite, not {list(values)}")
    return values


def _header(
    base: Checkpoint,
    donors: Sequence[Scannable],
    weights: Sequence[float],
    dtype: str | None,
    shard_size: int,
) -> dict[str, Any]:
    """Return what a journal must share with a run that continues it."""
    files = {f"donor {i}": list(identities(donor)) for i, donor in enumerate(donors, 1)}
    options = {"layout": LAYOUT, "weights": list(weights), "dtype": dtype, "shard_size": shard_size}
    return {**options, "base": list(identities(base)), **files}


def _listed(donors: Source | Sequence[Source]) -> list[Source]:
    if isinstance(donors, str | os.PathLike | Mapping) or not isinstance(donors, Sequence):
        return [donors]
    return list(donors)
