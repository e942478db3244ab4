# SPDX-License-Identifier: BSD-3-Clause
"""Roles of tensors from their names: rules, tables of rules, and patterns."""
