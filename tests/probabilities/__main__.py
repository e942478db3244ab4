# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.probabilities --runs 400``: see ``--help``."""

import os
import sys

# Before NumPy is read: one thread for its BLAS.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

from tests.probabilities.table import main  # noqa: E402

sys.exit(main())
