# SPDX-License-Identifier: BSD-3-Clause
"""The exceptions and warnings that sigmascope raises beside ValueError and TypeError."""

from __future__ import annotations


class SigmascopeError(Exception):
    """Base of every error that is sigmascope's own."""


class CheckpointError(SigmascopeError, ValueError):
    """A file or folder is not what it claims to be; the message names file, tensor and offset."""


class NonFiniteError(SigmascopeError, ValueError):
    """A matrix holds NaN or infinity, so it has no spectrum; the message says how many, where."""


class DeviceError(SigmascopeError):
    """A device was asked for that this machine or this build does not have."""


class ConvergenceWarning(UserWarning):
    """A result did not reach the tolerance asked for; its errors and residuals still hold."""


class MemoryLimitError(SigmascopeError, MemoryError):
    """The memory limit is too small for what was asked; the message says what is needed."""
