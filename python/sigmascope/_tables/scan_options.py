# SPDX-License-Identifier: BSD-3-Clause
"""Every option of scan and compare, and of open_checkpoint on the command line."""

from __future__ import annotations

from .options import MAY_DIFFER, MUST_MATCH, Option, table_of

SCAN = table_of(
    Option(
        "effort",
        "str",
        "density",
        "How much to compute for each matrix. top: its k largest singular values. density: also "
        "an estimate of the distribution of all its singular values; ranks and the noise edge "
        "follow from it, each with its error. exact: every singular value, the slowest.",
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
        "Largest error of the k values over the largest one; in the bulk up to 10 times that.",
        "--tol",
        metavar="X",
        journal=MUST_MATCH,
    ),
    Option(
        "accuracy",
        "str",
        "reference",
        "Arithmetic of --effort exact. reference: sums in float64. fast: wider error bounds, "
        "but less time from order 4096 on or if one side is 15 times the other.",
        "--accuracy",
        choices=("reference", "fast"),
        journal=MUST_MATCH,
    ),
    Option(
        "measures",
        "str | Sequence[str] | None",
        None,
        "Measures to compute in addition: alpha_farms, randomized_distance, correlation_traps "
        "(the last two take three times as long); compare also has update_shares and "
        "update_masks. docs/measures.md explains them. Repeatable.",
        "--measures",
        metavar="NAME",
        journal=MUST_MATCH,
    ),
    Option(
        "seed",
        "int | None",
        0,
        "Seed of the random start; the same seed gives the same numbers. Default: the seed in "
        "the journal of --resume, or else a drawn seed, which is shown. Nobody can make a file "
        "that a start from an unknown seed misses.",
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
        "(each matrix on one of them). `sigmascope config` lists the devices.",
        "--device",
        metavar="NAME",
        journal=MAY_DIFFER,
    ),
    Option(
        "num_threads",
        "int | None",
        None,
        "Number of threads. Default: all cores. The results do not depend on it.",
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
        "How to read files; the results do not depend on it. buffered: through the system's "
        "cache of files. uncached: without that cache, which stays free for other programs. "
        "mapped: as memory maps.",
        "--reading",
        choices=("buffered", "uncached", "mapped"),
        command_default="buffered",
    ),
    Option(
        "include",
        "Patterns",
        None,
        'Analyse only the tensors whose names match: "*" stands for any characters, as in '
        '"*.mlp.*". So does "…", so names can be copied from tables. Repeatable.',
        "--include",
        metavar="PATTERN",
        journal=MUST_MATCH,
    ),
    Option(
        "exclude",
        "Patterns",
        None,
        "Omit the tensors whose names match. Repeatable.",
        "--exclude",
        metavar="PATTERN",
        journal=MUST_MATCH,
    ),
    Option(
        "vectors",
        "PathLike | None",
        None,
        "Save the singular vectors of the k largest values in this folder, one .safetensors "
        "file per matrix.",
        "--vectors",
        metavar="FOLDER",
        journal=MUST_MATCH,
    ),
    Option(
        "out",
        "Paths",
        None,
        "Save the rows. The suffix selects the format: .jsonl (row by row while the command "
        "runs; --resume continues it), .csv, .parquet, or .html (a page to read). Repeatable.",
        "--out",
        metavar="FILE",
    ),
    Option(
        "resume",
        "PathLike | None",
        None,
        "Continue an interrupted run: keep the rows of this .jsonl and append the missing ones. "
        "If the file does not exist, a new one is started.",
        "--resume",
        metavar="FILE",
    ),
    Option(
        "shard",
        "tuple[int, int] | None",
        None,
        "Compute only part I of N, counted from 0, for example 0/4 to 3/4 on four machines. "
        "`sigmascope merge` joins the parts.",
        "--shard",
        metavar="I/N",
    ),
    Option(
        "resources",
        "Resources | None",
        None,
        "Device, threads, memory and executor, unless the call gives them.",
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
        "Compute nothing. Print what a run would do, and its memory and time. --out then saves "
        "the plan to a new .jsonl, .csv or .parquet file.",
        "--plan",
    ),
)
"""The keywords of scan and compare."""

OPENING = table_of(
    Option(
        "heads",
        "bool",
        False,
        "Analyse each attention head of the q, k, v and o matrices as a separate matrix.",
        "--heads",
        journal=MUST_MATCH,
    ),
    Option(
        "circuits",
        "bool",
        False,
        "Analyse the circuits of each attention head, W_q^T W_k and W_o W_v, instead of the stored "
        "matrices; docs/circuits.md says what they contain.",
        "--circuits",
        journal=MUST_MATCH,
    ),
    Option(
        "rules",
        "Source | None",
        None,
        "Your rules that derive roles (q, up, …) from names of tensors, as .toml or .json; "
        "docs/roles.md describes the format.",
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
