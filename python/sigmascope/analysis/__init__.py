# SPDX-License-Identifier: BSD-3-Clause
"""The spectrum of one matrix: which solver, which measures, within which memory."""
