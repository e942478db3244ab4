# SPDX-License-Identifier: BSD-3-Clause
"""Every option of scan and compare, and of open_checkpoint on the command line."""

from __future__ import annotations

from .options import MAY_DIFFER, MUST_MATCH, Option, table_of

SCAN = table_of(
    Option(
        "effort",
        "str",
        "density",
        "How much is computed of each matrix. top: its k largest singular values. density: also "
        "the distribution of all its singular values, estimated; ranks and the noise edge follow "
        "from it, each with its error. exact: every singular value, the slowest.",
        "--effort",
        choices=("top", "density", "exact"),
        journal=MUST_MATCH,
    ),
    Option(
        "k",
        "int",
        64,
        "Number of the largest singular values to compute.",
        "-k --k",
        metavar="N",
        least=1,
        journal=MUST_MATCH,
    ),
    Option(
        "tol",
        "float",
        1e-3,
        "Largest error of the k values, as a fraction of the largest one; 0.001 is 0.1 %.",
        "--tol",
        metavar="X",
        journal=MUST_MATCH,
    ),
    Option(
        "accuracy",
        "str",
        "reference",
        "Arithmetic of --effort exact. reference: sums in float64. fast: wider error bounds, and "
        "less time from order 4096 on or where one side is 15 times the other.",
        "--accuracy",
        choices=("reference", "fast"),
        journal=MUST_MATCH,
    ),
    Option(
        "measures",
        "str | Sequence[str] | None",
        None,
        "Measures that are computed only on request: alpha_farms, randomized_distance, "
        "correlation_traps (the last two take three times as long); by compare also update_shares "
        "and update_masks. docs/measures.md explains them. Repeatable.",
        "--measures",
        metavar="NAME",
        journal=MUST_MATCH,
    ),
    Option(
        "seed",
        "int | None",
        0,
        "Seed of the random start; the same seed gives the same numbers. Default: that of the "
        "journal of --resume, or else one that is drawn and shown, so that nobody can make a file "
        "that the start misses.",
        "--seed",
        metavar="N",
        least=0,
        command_default=None,
        journal=MUST_MATCH,
    ),
    Option(
        "device",
        "str",
        "cpu",
        "Where to compute: cpu, or an NVIDIA GPU as cuda (the first one), cuda:1, or cuda:all "
        "(each matrix on one of them). `sigmascope config` lists what there is.",
        "--device",
        metavar="NAME",
        journal=MAY_DIFFER,
    ),
    Option(
        "num_threads",
        "int | None",
        None,
        "Number of threads. Default: all cores. No number depends on it.",
        "--threads",
        metavar="N",
        least=1,
        journal=MAY_DIFFER,
    ),
    Option(
        "memory_limit",
        "int | str | None",
        None,
        'Largest amount of memory to use, like "2GiB" or "500MB". Default: half of what is '
        "available.",
        "--memory",
        metavar="SIZE",
        journal=MAY_DIFFER,
    ),
    Option(
        "reading",
        "str | None",
        None,
        "Way of reading files; no number depends on it. buffered: through the system's cache of "
        "files. uncached: past that cache, so that other programs keep theirs. mapped: as memory "
        "maps.",
        "--reading",
        choices=("buffered", "uncached", "mapped"),
        command_default="buffered",
    ),
    Option(
        "include",
        "Patterns",
        None,
        'Analyse only the tensors whose names match: "*" stands for any characters, as in '
        '"*.mlp.*", and "…" too, so that names can be given as tables show them. Repeatable.',
        "--include",
        metavar="PATTERN",
        journal=MUST_MATCH,
    ),
    Option(
        "exclude",
        "Patterns",
        None,
        "Leave out the tensors whose names match. Repeatable.",
        "--exclude",
        metavar="PATTERN",
        journal=MUST_MATCH,
    ),
    Option(
        "vectors",
        "PathLike | None",
        None,
        "Save the singular vectors of the k largest values there, a .safetensors per matrix.",
        "--vectors",
        metavar="FOLDER",
        journal=MUST_MATCH,
    ),
    Option(
        "out",
        "Paths",
        None,
        "Save the rows. The suffix is the format: .jsonl (row by row while the command runs; "
        "--resume continues it), .csv, .parquet, or .html (a page to read). Repeatable.",
        "--out",
        metavar="FILE",
    ),
    Option(
        "resume",
        "PathLike | None",
        None,
        "Continue an interrupted run: keep the rows of this .jsonl and append the missing ones. "
        "Without such a file a new one is started.",
        "--resume",
        metavar="FILE",
    ),
    Option(
        "shard",
        "tuple[int, int] | None",
        None,
        "Make only part I of N, counted from 0, for example 0/4 to 3/4 on four machines. "
        "`sigmascope merge` joins the parts.",
        "--shard",
        metavar="I/N",
    ),
    Option(
        "resources",
        "Resources | None",
        None,
        "Device, threads, memory and executor, where the call gives no other.",
    ),
    Option(
        "executor",
        "Executor | None",
        None,
        "An executor whose workers analyse the matrices: processes, a Dask cluster, MPI.",
    ),
    Option(
        "workers",
        "int | None",
        None,
        "Compute in N processes, which share the threads and the memory. Default: in one.",
        "--workers",
        metavar="N",
        least=1,
    ),
    Option(
        "progress",
        "Progress | None",
        None,
        "A function that is called with an event for each row, and while rows are computed.",
    ),
    Option(
        "plan",
        "bool",
        False,
        "Compute nothing: print what would be done, in which memory and time. --out then saves the "
        "plan, as .jsonl, .csv or .parquet, in a file that does not exist yet.",
        "--plan",
    ),
)
"""The keywords of scan and compare."""

OPENING = table_of(
    Option(
        "heads",
        "bool",
        False,
        "Analyse each attention head of the q, k, v and o matrices as a matrix of its own.",
        "--heads",
        journal=MUST_MATCH,
    ),
    Option(
        "rules",
        "Source | None",
        None,
        "Your rules that tell roles (q, up, …) from names of tensors, as .toml or .json; "
        "docs/roles.md has the format.",
        "--rules",
        metavar="FILE",
        journal=MUST_MATCH,
    ),
    Option(
        "variant",
        "str | None",
        None,
        "Variant of the weights, for a folder that has several: fp16 reads name.fp16.safetensors "
        "instead of name.safetensors.",
        "--variant",
        metavar="NAME",
        journal=MUST_MATCH,
    ),
)
"""The keywords of open_checkpoint that its callers choose on the command line."""
