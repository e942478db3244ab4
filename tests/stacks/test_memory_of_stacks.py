# SPDX-License-Identifier: BSD-3-Clause
"""The memory that a stack of matrices takes, and what its result still refers to."""

from __future__ import annotations

import subprocess
import sys
import weakref

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.errors import FailedMatrixWarning

_MEASURE = """
import numpy as np
import sigmascope as ss
from sigmascope.bench.memory import AddedMemory
x = np.random.default_rng(0).standard_normal((8, 400, 400), dtype=np.float32)
ss.svdvals(x[:1, :64, :64], num_threads=1)
added = AddedMemory()
ss.svdvals(x, num_threads=8, memory_limit={limit})
print(added.bytes())
"""


@pytest.mark.unsanitized  # a sanitizer takes memory of its own
def test_a_stack_within_a_small_limit_takes_the_memory_of_one_matrix() -> None:
    """One of eight matrices takes about three Gram matrices; 80 MiB is the share of one."""
    command = [sys.executable, "-c", _MEASURE.format(limit=80 * 2**20)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if done.stdout.strip() == "None":
        pytest.skip("the system does not tell the peak of a process again")
    gram = 8 * 400**2
    assert gram <= int(done.stdout) <= 5 * gram


@pytest.mark.parametrize("threads", [1, 3])
def test_failures_of_a_stack_do_not_keep_its_matrices(threads: int) -> None:
    """An exception with a traceback would refer to the frames, and these to all matrices."""
    matrices = [np.ones((30, 20)), *(np.full((30, 20), np.nan) for _ in range(3))]
    references = [weakref.ref(matrix) for matrix in matrices]
    with pytest.warns(FailedMatrixWarning):
        result = ss.svds(matrices, 2, num_threads=threads)
    del matrices
    assert len(result.failures) == 3
    assert [reference() for reference in references] == [None] * 4
