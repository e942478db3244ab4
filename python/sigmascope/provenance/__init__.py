# SPDX-License-Identifier: BSD-3-Clause
"""Provenance: what a checkpoint was made of, from weights alone."""

from __future__ import annotations

from .merges import Decision, Verification, Weight, verify

__all__ = ["Decision", "Verification", "Weight", "verify"]
