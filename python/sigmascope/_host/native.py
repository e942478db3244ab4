# SPDX-License-Identifier: BSD-3-Clause
"""The compiled extension: every other module imports it from here."""

from sigmascope import _core

__all__ = ["_core"]
