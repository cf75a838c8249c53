"""Checkpoints: complete, atomic, one folder per run, and the replay in append-only segments.

    seed-000/checkpoints/000000020000/{state.pt, manifest.json}    the newest and the one before it
    seed-000/checkpoints/replay/000000000000-000000020000.pt       transitions, numbered from the first ever added

A checkpoint is written under another name and renamed when every byte is on the disk. Its manifest holds the length
and CRC of its state and of each segment, so that a damaged one is recognised and the one before it is taken.
Everything is plain tensors, lists, numbers and strings, read with `weights_only=True`.
"""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pyslsac.data import Replay
from pyslsac.train.atomic import fingerprint, sync_folder, write_atomic, write_synced
from pyslsac.train.errors import CheckpointError

KEPT = 2


class Checkpoints:
    """The checkpoints of the runs in `folders` (seed-* folders), written and read together."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [folder / "checkpoints" for folder in folders]
        self.segments: list[list[dict[str, Any]]] = [[] for _ in folders]

    def select(self, keep: Sequence[int]) -> Checkpoints:
        """The checkpoints of the runs `keep` alone."""
        kept = Checkpoints([self.folders[run].parent for run in keep])
        kept.segments = [self.segments[run] for run in keep]
        return kept

    def save(self, step: int, states: Sequence[dict[str, Any]], replay: Replay) -> None:
        """Write one checkpoint per run; CheckpointError when the disk refuses, and then the last good one stays."""
        try:
            self._save(step, states, replay)
        except OSError as error:
            for folder in self.folders:
                shutil.rmtree(_temporary(folder, step), ignore_errors=True)
            last = max((s for folder in self.folders[:1] for s in _steps(folder)), default=None)
            kept = "there is no earlier one" if last is None else f"the one at step {last:,} is kept"
            raise CheckpointError(f"the checkpoint at step {step:,} could not be written ({error}); {kept}") from error

    def load(self, replay: Replay) -> list[dict[str, Any]] | None:
        """The states of the newest checkpoint that is good in every run; `replay` is filled from its segments.

        None where the runs stopped before their first checkpoint. One warning when a damaged checkpoint is passed
        over, CheckpointError when no good one is left.
        """
        found = [set(_steps(folder)) for folder in self.folders]
        if not all(found) and all(len(steps) <= 1 for steps in found):
            return None
        damage: list[str] = []
        for step in sorted(set.intersection(*found), reverse=True):
            try:
                states = self._load(step, replay)
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                damage.append(f"step {step:,}: {error}")
                continue
            for folder in self.folders:
                for newer in (s for s in _steps(folder) if s > step):
                    shutil.rmtree(folder / _name(newer))
            if damage:
                warnings.warn(f"damaged checkpoint ({'; '.join(damage)}); going on from step {step:,}", stacklevel=2)
            return states
        reason = "; ".join(damage) or "no checkpoint there is common to all its runs"
        raise CheckpointError(f"nothing to resume from in {self.folders[0].parent}: {reason}")

    def _load(self, step: int, replay: Replay) -> list[dict[str, Any]]:
        manifests = [_manifest(folder, step) for folder in self.folders]
        states = [_read_state(folder, step, m) for folder, m in zip(self.folders, manifests, strict=True)]
        for parts in zip(*(manifest["segments"] for manifest in manifests), strict=True):
            rows = [_load(f / "replay" / part["file"], part) for f, part in zip(self.folders, parts, strict=True)]
            replay.load_state_dict(states[0]["replay"] | {"since": parts[0]["start"], "rows": torch.cat(rows)})
        self.segments = [manifest["segments"] for manifest in manifests]
        return states

    def _save(self, step: int, states: Sequence[dict[str, Any]], replay: Replay) -> None:
        since = max((segment["stop"] for segment in self.segments[0]), default=0)
        transitions = replay.state_dict(since)
        written = []
        for run, (folder, state) in enumerate(zip(self.folders, states, strict=True)):
            (folder / "replay").mkdir(parents=True, exist_ok=True)
            kept = [s for s in self.segments[run] if s["stop"] > replay.added - replay.capacity]
            if transitions["rows"].shape[1]:
                kept.append(_write_segment(folder, transitions, run))
            temporary = _temporary(folder, step)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            mark = write_synced(temporary / "state.pt", _dump(state))
            manifest = {"format": 1, "step": step, "state": mark, "segments": kept}
            write_synced(temporary / "manifest.json", json.dumps(manifest, indent=1).encode())
            sync_folder(temporary)
            written.append(kept)
        for folder in self.folders:
            final = folder / _name(step)
            if final.exists():
                shutil.rmtree(final)
            _temporary(folder, step).rename(final)
            sync_folder(folder)
        self.segments = written
        for folder in self.folders:
            _prune(folder)


def read_latest(folder: Path) -> dict[str, Any]:
    """The state of the newest good checkpoint of one run, without its replay: {"agent": ..., "loop": ..., ...}."""
    checkpoints = folder / "checkpoints"
    for step in sorted(_steps(checkpoints), reverse=True):
        try:
            return _read_state(checkpoints, step, _manifest(checkpoints, step))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            warnings.warn(f"damaged checkpoint at step {step:,} of {folder}: {error}", stacklevel=2)
    raise CheckpointError(f"{checkpoints} holds no good checkpoint")


def _write_segment(folder: Path, transitions: dict[str, Any], run: int) -> dict[str, Any]:
    start, rows = transitions["since"], transitions["rows"][run : run + 1].clone()  # [1, k, row]
    stop = start + rows.shape[1]
    name = f"{start:012d}-{stop:012d}.pt"
    return {"file": name, "start": start, "stop": stop, **write_atomic(folder / "replay" / name, _dump(rows))}


def _read_state(folder: Path, step: int, manifest: dict[str, Any]) -> dict[str, Any]:
    return _load(folder / _name(step) / "state.pt", manifest["state"])


def _manifest(folder: Path, step: int) -> dict[str, Any]:
    return json.loads((folder / _name(step) / "manifest.json").read_bytes())


def _prune(folder: Path) -> None:
    """Drop all but the newest checkpoints, and the segments that none of those needs."""
    steps = sorted(_steps(folder), reverse=True)
    for step in steps[KEPT:]:
        shutil.rmtree(folder / _name(step))
    for rest in folder.glob(".tmp-*"):
        shutil.rmtree(rest)
    needed = {part["file"] for step in steps[:KEPT] for part in _manifest(folder, step)["segments"]}
    for path in (folder / "replay").iterdir():
        if path.name not in needed:
            path.unlink()


def _dump(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _load(path: Path, mark: dict[str, Any]) -> Any:
    data = path.read_bytes()
    found = fingerprint(data)
    if any(found[key] != mark[key] for key in found):
        raise ValueError(f"{path} has {found['bytes']} bytes, {mark['bytes']} were written; or its CRC is another")
    return torch.load(io.BytesIO(data), weights_only=True)


def _steps(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.glob("[0-9]*")] if folder.is_dir() else []


def _name(step: int) -> str:
    return f"{step:012d}"


def _temporary(folder: Path, step: int) -> Path:
    return folder / f".tmp-{_name(step)}"
