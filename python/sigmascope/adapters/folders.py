# SPDX-License-Identifier: BSD-3-Clause
"""Folders of adapters, and folders that hold several of them."""

from __future__ import annotations

import os
from pathlib import Path

from sigmascope.checkpoint.formats.hub import snapshot_of
from sigmascope.checkpoint.remote.paths import Place, RemotePath
from sigmascope.errors import CheckpointError

from .settings import NAME


def is_adapter(path: object) -> bool:
    """Return whether a path is a folder with an adapter, or with folders of adapters."""
    if isinstance(path, RemotePath):
        return path.is_dir() and (path / NAME).exists()
    if not isinstance(path, str | os.PathLike) or not os.path.isdir(path):
        return False
    folder = snapshot_of(Path(path))
    return os.path.exists(folder / NAME) or bool(_below(folder))


def _below(path: Path) -> list[Path]:
    """List the folders of adapters in a folder that holds no model."""
    if any(path.glob("*.safetensors")) or any(path.glob("*.bin")):
        return []
    return sorted(file.parent for file in path.glob(f"*/{NAME}"))


def adapter_folders(path: Place) -> list[Place]:
    """List the folders of the adapters in a folder; CheckpointError if there is none."""
    if not path.is_dir():
        raise CheckpointError(f"{path}: an adapter is a folder with {NAME}")
    folders: list[Place] = [path] if (path / NAME).exists() else []
    # PEFT stores the adapter called "default" in the folder itself, the others in folders below.
    if isinstance(path, Path):
        folders += sorted(each.parent for each in path.glob(f"*/{NAME}"))
    if not folders:
        raise CheckpointError(f"{path}: no {NAME}")
    return folders
