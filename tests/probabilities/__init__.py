# SPDX-License-Identifier: BSD-3-Clause
"""Rates at which stated probabilities are wrong, under their premises and outside."""
