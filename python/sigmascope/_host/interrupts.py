# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C while the command `sigmascope` is still importing its modules."""

from __future__ import annotations

import os
import signal
import sys


def end_at_once() -> None:
    """Let Ctrl-C end the command without a traceback until :func:`handle_again` is called.

    The imports of the command take up to two seconds. Nothing changes in any other program, nor in
    a worker process, which has the arguments of its parent.
    """
    command = os.path.basename(sys.argv[0]) if sys.argv else ""
    as_module = command == "-m" and "sigmascope" in sys.orig_argv
    is_worker = "--multiprocessing-fork" in sys.orig_argv
    if (command == "sigmascope" or as_module) and not is_worker and _raises_interrupt():
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def handle_again() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, after :func:`end_at_once`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _raises_interrupt() -> bool:
    """Return False if the parent ignores the signal, as a shell does for background jobs."""
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
