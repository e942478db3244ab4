# SPDX-License-Identifier: BSD-3-Clause
"""Lazy matrices: sums of tiles over arrays, tensors and files, joined and sliced."""
