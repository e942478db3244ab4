# SPDX-License-Identifier: BSD-3-Clause
"""Convert a URL to the path of a file on another machine."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from sigmascope.errors import CheckpointError

from .hub import hub_path
from .paths import RemotePath
from .store import UrlStore

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_WEB = ("https", "http")
_BUCKETS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az"}


def is_url(text: object) -> bool:
    """Return whether a text is a URL, not a path on this machine."""
    return isinstance(text, str) and _SCHEME.match(text) is not None


def without_secrets(url: str) -> str:
    """Return a URL without its user, password and query, for messages and tables."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


def path_of_url(url: str) -> RemotePath:
    """Return the path of a URL.

    Parameters
    ----------
    url : str
        hf://org/model@revision, https://host/file, s3://bucket/folder, gs://…, az://…. A query
        (of a signed URL, for example) and a user with a password are used, and never shown.

    Raises
    ------
    CheckpointError
        The scheme is not known, or the model is not found on the hub.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme == "hf":
        return hub_path(url)
    key = unquote(parts.path).strip("/")
    host = parts.netloc.rpartition("@")[2]
    if scheme in _WEB:
        query = f"?{parts.query}" if parts.query else ""
        secret = f"{scheme}://{parts.netloc}/{query}"
        return RemotePath(UrlStore(f"{scheme}://{host}", secret), key)
    if scheme in _BUCKETS:
        kind = _BUCKETS[scheme]
        return RemotePath(UrlStore(f"{kind}://{host}", f"{kind}://{host}"), key)
    raise CheckpointError(f"{scheme}://{host}: unknown scheme; known: hf, https, http, s3, gs, az")
