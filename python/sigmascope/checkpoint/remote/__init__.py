# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints on other machines: paths, stores, sources of bytes, and their errors."""
