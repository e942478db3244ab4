# SPDX-License-Identifier: BSD-3-Clause
"""Readers of the files of checkpoints, one module for each format."""
