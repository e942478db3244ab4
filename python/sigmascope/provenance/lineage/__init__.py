# SPDX-License-Identifier: BSD-3-Clause
"""Lineage: were two checkpoints trained independently? Exact tests by permutations in blocks."""
