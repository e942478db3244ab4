# SPDX-License-Identifier: BSD-3-Clause
"""Provenance: what a checkpoint was made of, from weights alone."""
