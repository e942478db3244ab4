# SPDX-License-Identifier: BSD-3-Clause
"""Rows of tables, as everything that shows or saves them takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]
"""A row of a table: the value of each column by its name."""

RowView = Mapping[str, Any]
"""A row that is only read."""
