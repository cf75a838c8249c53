"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any


def write_synced(path: Path, data: bytes) -> dict[str, Any]:
    """Write `data` down to the disk; returns its fingerprint {"bytes", "crc32"}."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return fingerprint(data)


def write_atomic(path: Path, data: bytes) -> dict[str, Any]:
    """Replace `path` by `data` in one step: a reader, or a crash, sees the old file or the new one."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        mark = write_synced(temporary, data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return mark


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` last (a no-op where folders cannot be opened)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fingerprint(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "crc32": zlib.crc32(data)}
