# SPDX-License-Identifier: BSD-3-Clause
"""Merges: is a file a base plus weighted changes, with which weights, and what did rounding take?"""
