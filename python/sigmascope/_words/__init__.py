# SPDX-License-Identifier: BSD-3-Clause
"""Numbers, rows and verdicts in words, for every room that prints or saves them."""
