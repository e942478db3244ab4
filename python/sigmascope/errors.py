# SPDX-License-Identifier: BSD-3-Clause
"""The exceptions and warnings that sigmascope raises in addition to ValueError and TypeError."""

from __future__ import annotations

from typing import Any

__all__ = [
    "CheckpointError",
    "ConvergenceWarning",
    "DeviceError",
    "DeviceMemoryError",
    "FailedMatrixWarning",
    "MemoryLimitError",
    "NonFiniteError",
    "OutputError",
    "ScanInterrupted",
    "SigmascopeError",
]


class SigmascopeError(Exception):
    """Base class of every error that sigmascope defines."""


class CheckpointError(SigmascopeError, ValueError):
    """A file or folder is not what it claims to be; the message names file, tensor and offset."""


class NonFiniteError(SigmascopeError, ValueError):
    """A matrix holds NaN or infinity, so it has no spectrum; the message gives number and place."""


class DeviceError(SigmascopeError):
    """A device is not available, or an array is on another device than the call needs."""


class DeviceMemoryError(DeviceError, MemoryError):
    """A device ran out of memory during a call; the message states what did not fit."""


class ConvergenceWarning(UserWarning):
    """A result did not reach the requested tolerance; its errors and residuals are still valid."""


class FailedMatrixWarning(UserWarning):
    """Some matrices of a stack failed and have no result; the other matrices have results."""


class MemoryLimitError(SigmascopeError, MemoryError):
    """The memory limit is too small for the call; the message states how much it needs."""


class OutputError(SigmascopeError, OSError):
    """An output could not be written; the message names it, and `scan` has the rows so far.

    Attributes
    ----------
    scan : Scan, Comparison or Extraction
        The table with the rows that were finished before the error.
    """

    def __init__(self, error: OSError, scan: Any) -> None:
        super().__init__(error.errno, error.strerror, error.filename)
        self.scan: Any = scan


class ScanInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a scan or a comparison; its outputs are saved, and `scan` has its rows.

    Attributes
    ----------
    scan : Scan, Comparison or Extraction
        The table with the rows that were finished before Ctrl-C.
    """

    def __init__(self, scan: Any) -> None:
        super().__init__(f"{len(scan)} of {scan.expected} rows done")
        self.scan: Any = scan
