# SPDX-License-Identifier: BSD-3-Clause
"""Options, memory, cost, precision and workers of a call."""
