# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints that are not on this machine: paths, stores, sources of bytes, and their errors."""
