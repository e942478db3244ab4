# SPDX-License-Identifier: BSD-3-Clause
"""A browser for pages of results."""

from __future__ import annotations

from tests.display.conftest import browser as browser
