# SPDX-License-Identifier: BSD-3-Clause
"""Lazy matrices: arrays, tensors and files as tiles that add up, joined and sliced."""
