# SPDX-License-Identifier: BSD-3-Clause
"""How a call is carried out: its options, memory, cost, precision and workers."""
