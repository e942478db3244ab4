# SPDX-License-Identifier: BSD-3-Clause
"""The exceptions and warnings that sigmascope raises in addition to ValueError and TypeError."""

from __future__ import annotations


class SigmascopeError(Exception):
    """Base class of every error that sigmascope defines."""


class CheckpointError(SigmascopeError, ValueError):
    """A file or folder is not what it claims to be; the message names file, tensor and offset."""


class NonFiniteError(SigmascopeError, ValueError):
    """A matrix holds NaN or infinity, so it has no spectrum; the message gives number and place."""


class DeviceError(SigmascopeError):
    """The requested device is not available on this machine or in this build."""


class ConvergenceWarning(UserWarning):
    """A result did not reach the requested tolerance; its errors and residuals are still valid."""


class MemoryLimitError(SigmascopeError, MemoryError):
    """The memory limit is too small for the call; the message states how much it needs."""
