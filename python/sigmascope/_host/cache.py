# SPDX-License-Identifier: BSD-3-Clause
"""The folder for this user's cached files, which can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for this user's cached files."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path must be ignored.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "sigmascope"
