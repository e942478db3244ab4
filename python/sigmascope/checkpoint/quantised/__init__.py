# SPDX-License-Identifier: BSD-3-Clause
"""Quantised tensors: layouts of their parts, scales and packed formats."""
