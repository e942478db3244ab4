# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.planted --rooms streaming,cli``: see ``--help``."""

import sys

from tests.planted.command import main

sys.exit(main())
