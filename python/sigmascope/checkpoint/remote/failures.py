# SPDX-License-Identifier: BSD-3-Clause
"""Errors of servers and stores as one sentence: what failed, where, and what helps.

The text of the original error is never shown, since it may contain a URL with a signature.
"""

from __future__ import annotations

import re
from typing import Any

from sigmascope.errors import CheckpointError

from .requests import LEAST_RATE, SlowAnswerError

_STATUS = re.compile(r"status code: (\d{3}[\w -]*)")
_UNREACHED = {
    "dns error": "its name is unknown",
    "Connection refused": "the connection is refused",
    "timed out": "it does not answer in time",
    "TimedOut": "it does not answer in time",
    "certificate": "its certificate is not trusted",
}

_LOGIN = {
    "hf": "log in with `hf auth login`, or set HF_TOKEN; for a gated model, first request access "
    "on its page",
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a "
    "public bucket",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true for a public bucket",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_SIGNED = "put a user and a password into the URL, or use a new URL if its signature has expired"

CHANGED = "the file changed since it was opened: open the checkpoint again"
AGAIN = "try again later; a scan with --resume keeps its rows"


class MissingFileError(CheckpointError):
    """There is no such file."""


def check_compression(answer: Any, place: str) -> None:
    """Raise CheckpointError if an answer's length differs because it was compressed on the way."""
    encoding = answer.attributes.get("Content-Encoding")
    if encoding not in (None, "", "identity"):
        raise CheckpointError(
            f"{place}: the server compresses its answers ({encoding!r:.40}), so bytes are not "
            "at the requested offsets: let it send files as they are, or download the file"
        )


def failure(error: Exception, where: str, what: str = "") -> CheckpointError:
    """Return the error to show to the user.

    Parameters
    ----------
    error : Exception
        An error of obstore.
    where : str
        Address of the file, without secrets.
    what : str
        What was read: the tensor and its bytes.
    """
    place = f"{where}: {what}: " if what else f"{where}: "
    text = str(error)
    if isinstance(error, SlowAnswerError):
        return CheckpointError(
            f"{place}the server is too slow, also after retries: {text}, but at least "
            f"{LEAST_RATE} bytes a second are needed: check the network, or {AGAIN}"
        )
    match = _STATUS.search(text)
    status = match[1].strip() if match else ""
    if isinstance(error, FileNotFoundError) or status.startswith("404"):
        return MissingFileError(f"{place}there is no such file (404 Not Found): check the address")
    if status[:3] in ("401", "403"):
        help_ = _LOGIN.get(where.partition(":")[0], _SIGNED)
        return CheckpointError(f"{place}access is refused ({status}): {help_}")
    if status.startswith("412"):
        return CheckpointError(f"{place}{CHANGED}")
    if "Range request not supported" in text:
        return CheckpointError(
            f"{place}the server does not send parts of a file, so single tensors cannot be read: "
            "download the file"
        )
    if status[:1] == "5" or status.startswith("429"):
        return CheckpointError(f"{place}the server fails, also after retries ({status}): {AGAIN}")
    if status:
        return CheckpointError(f"{place}the server answers {status}")
    if "redirect" in text:
        return CheckpointError(
            f"{place}the server redirects in a circle, or too often: check the address"
        )
    reason = next((words for sign, words in _UNREACHED.items() if sign in text), "")
    if reason:
        return CheckpointError(
            f"{place}the server cannot be reached, {reason}: check the address and the network"
        )
    if "Requested" in text:
        return CheckpointError(f"{place}the server sends other bytes than requested: {AGAIN}")
    return CheckpointError(f"{place}the connection breaks ({type(error).__name__}): {AGAIN}")


def is_beyond_the_end(error: Exception) -> bool:
    """Return whether the requested bytes begin after the end of a file."""
    return "status code: 416" in str(error)


def is_wrong_length(error: Exception) -> bool:
    """Return whether an answer had another number of bytes than requested."""
    return "Requested" in str(error)
