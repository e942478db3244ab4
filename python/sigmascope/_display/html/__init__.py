# SPDX-License-Identifier: BSD-3-Clause
"""A scan or a comparison as one HTML file, which needs no network and no other file.

HTML is a format of rows, like CSV and Parquet. The sentences at the top of the page and the lists
at its end are made here; the charts are drawn in the browser by the scripts in ``parts``.
"""

from __future__ import annotations

from .page import page, write

__all__ = ["page", "write"]
