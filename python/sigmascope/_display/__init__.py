# SPDX-License-Identifier: BSD-3-Clause
"""Results as people see them: numbers in words, curves, plots, pages, and the glossary."""
