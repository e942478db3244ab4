# SPDX-License-Identifier: BSD-3-Clause
"""The spectrum of one matrix: choice of solver and measures within the memory."""
