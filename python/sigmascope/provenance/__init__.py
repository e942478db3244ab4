# SPDX-License-Identifier: BSD-3-Clause
"""Provenance: what weights alone show about the origin of a checkpoint."""
