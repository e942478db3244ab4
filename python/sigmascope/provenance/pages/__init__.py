# SPDX-License-Identifier: BSD-3-Clause
"""Results of verify, check, apply and lineage as HTML pages, each of which is one file.

A page is made from the record that a .json file has, and needs no script and no network.
"""

from __future__ import annotations

from .kinds import render_page

__all__ = ["render_page"]
