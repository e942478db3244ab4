# SPDX-License-Identifier: BSD-3-Clause
"""Results for people: formatted numbers, curves, plots, HTML pages, and the glossary."""
