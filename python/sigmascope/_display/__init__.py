# SPDX-License-Identifier: BSD-3-Clause
"""What people see of results: numbers in words, curves, plots, pages, and the terms they use."""
