# SPDX-License-Identifier: BSD-3-Clause
"""Numbers, rows and verdicts in words, and the probabilities that claims rest on."""
