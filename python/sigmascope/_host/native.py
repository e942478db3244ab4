# SPDX-License-Identifier: BSD-3-Clause
"""The compiled extension, which every other module imports from here."""

from sigmascope import _core

__all__ = ["_core"]
