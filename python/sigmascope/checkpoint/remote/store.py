# SPDX-License-Identifier: BSD-3-Clause
"""Files behind a URL or in an object store, read by ranges (extra ``remote``).

obstore retries failed connections, answers 408, 429 and 5xx, and interrupted connections, after
growing delays with jitter. A header `Retry-After` does not change the delays: obstore neither reads
it nor shows headers of failed requests. This module retries an answer that has another length than
requested, or whose bytes arrive too slowly. Redirects are followed.
"""

from __future__ import annotations

import os
import random
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import ByteSource, check_all_going

from .failures import (
    CHANGED,
    MissingFileError,
    check_compression,
    failure,
    is_beyond_the_end,
    is_wrong_length,
)
from .requests import SlowAnswerError, chunks_of, concurrently, wait_for

START = 1 << 20
"""Bytes that opening a file reads: nearly all headers are shorter."""

_ATTEMPTS, _PAUSE = 4, 0.2
_RETRIES: Any = {
    "max_retries": 8,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {
        "init_backoff": timedelta(seconds=0.2),
        "max_backoff": timedelta(seconds=20),
        "base": 2,
    },
}
_TIMES = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(minutes=10),
}

_PROBED = tuple(
    f"{stem}{suffix}"
    for stem, end in (("model", "safetensors"), ("pytorch_model", "bin"))
    for suffix in (f".{end}.index.json", f".{end}")
)
"""Names that are tried in a folder of a server that does not list its files."""

T = TypeVar("T")


@dataclass(frozen=True)
class UrlStore:
    """Files below a URL.

    Attributes
    ----------
    root : str
        Address without secrets.
    url : str
        Address that obstore opens; it may contain a signature or a password.
    listed : frozenset of str or None
        Keys of all files, if they are known. Buckets list their files; other servers do not.
    """

    root: str
    url: str = field(repr=False)
    listed: frozenset[str] | None = field(default=None, repr=False)

    @property
    def scheme(self) -> str:
        """Scheme of the address: "https", "s3", "hf"."""
        return self.root.partition(":")[0]

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, or the usual names that exist there."""
        start = f"{folder}/" if folder else ""
        if self.listed is not None:
            keys = [key for key in self.listed if key.startswith(start)]
        elif self.scheme in ("http", "https"):
            answers = concurrently(self._exists, [start + name for name in _PROBED])
            keys = [key for key in answers if key]
        else:
            keys = self._list(folder)
        names = (key.removeprefix(start) for key in keys)
        return [name for name in names if "/" not in name]

    def exists(self, key: str) -> bool:
        """Return whether the file exists."""
        if self.listed is None and self.scheme in ("http", "https"):
            return bool(self._exists(key))
        folder, _, name = key.rpartition("/")
        return name in self.names(folder)

    def missing(self, folder: str, names: list[str]) -> list[str]:
        """Return the given names that are not listed; empty if the server does not list files."""
        if self.listed is None and self.scheme in ("http", "https"):
            return []
        return sorted(set(names) - set(self.names(folder)))

    def opened(self, key: str) -> tuple[ByteSource, bytes]:
        """Return the source of a file, and its first bytes."""
        where = f"{self.root}/{key}"
        if self.listed is not None and key not in self.listed:
            raise MissingFileError(f"{where}: there is no such file")

        def read() -> tuple[ByteSource, bytes]:
            try:
                answer = _get(self, key, {"range": (0, START)})
            except Exception as error:
                if is_beyond_the_end(error):  # an empty file has not even its first byte
                    return UrlSource(self, key, 0, "", ""), b""
                raise
            start, meta = b"".join(chunks_of(answer)), answer.meta
            source = UrlSource(self, key, meta["size"], meta["e_tag"] or "", _date(meta))
            if len(start) != min(START, source.size):
                check_compression(answer, where)
                raise CheckpointError(
                    f"{where}: only {len(start)} of its first {START} bytes were received"
                )
            return source, start

        return trying(read, where)

    def _exists(self, key: str) -> str:
        with suppress(MissingFileError):
            trying(
                lambda: _get(self, key, {"range": (0, 1)}).meta,
                f"{self.root}/{key}",
            )
            return key
        return ""

    def _list(self, folder: str) -> list[str]:
        def read() -> list[str]:
            listing, connection = _obstore().list_with_delimiter_async, client(self)
            answer = wait_for(lambda: listing(connection, folder or None))
            return [str(each["path"]) for each in answer["objects"]]

        return trying(read, f"{self.root}/{folder}".rstrip("/"))


class UrlSource(ByteSource):
    """One file of a store, which must not change: each read states and checks its ETag.

    For a server without ETags, the time of the last change is used instead.
    """

    concurrent = True

    def __init__(self, store: UrlStore, key: str, size: int, tag: str, date: str) -> None:
        self.store, self.key = store, key
        self.name, self.size = f"{store.root}/{key}", size
        self._tag, self._date = tag, date

    def __repr__(self) -> str:
        return f"<UrlSource {self.name!r}, {self.size} bytes>"

    def identity(self) -> str:
        """Return the ETag, or the time of the last change; empty if the server has neither."""
        return self._tag or self._date

    def fill(self, offset: int, memory: memoryview) -> None:
        """Fill `memory` with bytes of the file; CheckpointError names them and the failure."""
        end = offset + memory.nbytes
        options: dict[str, Any] = {"range": (offset, end)}
        if self._tag and not self._tag.startswith("W/"):  # a weak one never matches
            options["if_match"] = self._tag
        what = self.described(offset, memory.nbytes)

        def read() -> None:
            answer = _get(self.store, self.key, options)
            meta = answer.meta
            if (meta["e_tag"] or "", _date(meta), meta["size"]) != (
                self._tag,
                self._date,
                self.size,
            ):
                raise CheckpointError(f"{self.name}: {what}: {CHANGED}")
            position = 0
            for part in chunks_of(answer):
                if position + part.nbytes > memory.nbytes:
                    raise ValueError(f"Requested {memory.nbytes}, got more")
                memory[position : position + part.nbytes] = part
                position += part.nbytes
            if position != memory.nbytes:
                check_compression(answer, f"{self.name}: {what}")
                raise ValueError(f"Requested {memory.nbytes}, got {position}")

        trying(read, self.name, what)


def _get(store: UrlStore, key: str, options: dict[str, Any]) -> Any:
    """Begin to read a file; the answer has its headers."""
    get, connection = _obstore().get_async, client(store)
    return wait_for(lambda: get(connection, key, options=options))


def _date(meta: Any) -> str:
    return str(meta["last_modified"])


def trying(read: Callable[[], T], where: str, what: str = "") -> T:
    """Call a function that makes a request, and retry if the answer has a wrong length or is slow.

    Raises
    ------
    CheckpointError
        The request failed. The message does not contain secrets.
    """
    for attempt in range(_ATTEMPTS):
        check_all_going()
        try:
            return read()
        except (CheckpointError, ImportError, MemoryError):
            raise
        except Exception as error:
            again = is_wrong_length(error) or isinstance(error, SlowAnswerError)
            if attempt + 1 == _ATTEMPTS or not again:
                failed = failure(error, where, what)
                break
        time.sleep(random.uniform(0.5, 1.0) * _PAUSE * 2**attempt)
    raise failed from None


@cache
def client(store: UrlStore) -> Any:
    """Return the connection to a store; logins come from the environment or the hub's login."""
    _obstore()
    options: Any = dict(_TIMES)
    if store.scheme in ("http", "https", "hf"):
        from obstore.store import HTTPStore

        options["allow_http"] = store.url.startswith("http:")
        url, headers = _without_user(store.url)
        if store.scheme == "hf":
            from .hub_login import login

            headers |= login()
        options["default_headers"] = headers
        return HTTPStore.from_url(url, client_options=options, retry_config=_RETRIES)
    from obstore.store import from_url

    # Options given here take precedence over the environment, which may allow this to a bucket.
    options["allow_http"] = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
    return from_url(store.url, client_options=options, retry_config=_RETRIES)


def _without_user(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without its user and password, and a header that replaces them."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    token = b64encode(unquote(user).encode()).decode()
    return parts._replace(netloc=host).geturl(), {"Authorization": f"Basic {token}"}


def _obstore() -> Any:
    try:
        import obstore
    except ModuleNotFoundError as error:
        raise ImportError(
            "files on other machines need obstore: pip install 'sigmascope[remote]'"
        ) from error
    return obstore
