# SPDX-License-Identifier: BSD-3-Clause
"""Rows of scans and comparisons, whatever holds them, and the program that made them."""

from __future__ import annotations

from sigmascope._execution.build import engine
from sigmascope._tables.schema import Row
from sigmascope.series.sources import Source, SourceRows, path_of, read_source

__all__ = ["Row", "Source", "SourceRows", "engine", "path_of", "read_source"]
