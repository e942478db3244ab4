# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.campaign --minutes 30``: see ``--help``."""

import os
import sys
from pathlib import Path

# Before NumPy is read: one thread for its BLAS, and the folder that pytest has on its path too.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

from campaign.runner import main  # noqa: E402

sys.exit(main())
