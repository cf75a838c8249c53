"""Checkpoints are whole or not there, the replay is written once, and damage is survived."""

import errno
import json
import os
import warnings

import pytest
import torch

from pyslsac.data import Replay, Spec
from pyslsac.train import checkpoint
from pyslsac.train.checkpoint import Checkpoints, read_latest
from pyslsac.train.errors import CheckpointError

SEEDS = [0, 1]


@pytest.fixture
def folders(tmp_path):
    return [tmp_path / f"seed-{seed:03d}" for seed in SEEDS]


def new_replay(capacity=10):
    return Replay(Spec(2, 1), capacity, len(SEEDS), seeds=SEEDS)


def fill(replay, count):
    first = replay.added
    values = torch.arange(first, first + count, dtype=torch.float32).repeat(len(SEEDS), 1)  # [R, n]
    values = values + 1000 * torch.arange(len(SEEDS)).unsqueeze(1)
    wide = values.unsqueeze(-1)
    replay.add(wide.expand(-1, -1, 2), wide, values, values, wide.expand(-1, -1, 2), torch.zeros_like(values))


def states(replay, step):
    return [
        {"step": step, "seed": seed, "replay": replay.counters(), "x": torch.full((1, 3), step + seed)}
        for seed in SEEDS
    ]


def save(checkpoints, replay, step, count):
    fill(replay, count)
    checkpoints.save(step, states(replay, step), replay)


def segments(folder):
    return sorted(path.name for path in (folder / "checkpoints" / "replay").iterdir())


def steps(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name[0].isdigit())


def assert_loads(folders, replay, step):
    fresh = new_replay(replay.capacity)
    loaded = Checkpoints(folders).load(fresh)
    assert [(state["step"], state["seed"]) for state in loaded] == [(step, seed) for seed in SEEDS]
    assert all(state["x"].eq(step + seed).all() for state, seed in zip(loaded, SEEDS, strict=True))
    assert fresh.added == loaded[0]["replay"]["added"]
    return fresh


def test_round_trip(folders):
    replay, checkpoints = new_replay(), Checkpoints(folders)
    save(checkpoints, replay, 3, 3)
    save(checkpoints, replay, 7, 4)
    fresh = assert_loads(folders, replay, 7)
    assert torch.equal(fresh.rows[:, :7], replay.rows[:, :7])


def test_only_what_is_new_is_written(folders):
    replay, checkpoints = new_replay(), Checkpoints(folders)
    save(checkpoints, replay, 3, 3)
    first = folders[0] / "checkpoints" / "replay" / "000000000000-000000000003.pt"
    before = first.stat()
    save(checkpoints, replay, 7, 4)
    save(checkpoints, replay, 7, 0)  # nothing new: no segment
    assert segments(folders[0]) == ["000000000000-000000000003.pt", "000000000003-000000000007.pt"]
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_segments_go_when_the_ring_has_overwritten_them(folders):
    replay, checkpoints = new_replay(capacity=10), Checkpoints(folders)
    for step in (4, 8, 12, 16, 20):
        save(checkpoints, replay, step, 4)
    # the newest checkpoint needs 10-20, the one before it 6-16
    assert segments(folders[1]) == [f"{a:012d}-{a + 4:012d}.pt" for a in (4, 8, 12, 16)]
    assert steps(folders[1]) == [16, 20]
    fresh = assert_loads(folders, replay, 20)
    assert torch.equal(fresh.rows, replay.rows)


def test_more_new_transitions_than_the_ring_holds(folders):
    replay, checkpoints = new_replay(capacity=10), Checkpoints(folders)
    save(checkpoints, replay, 4, 4)
    for _ in range(4):
        fill(replay, 7)
    save(checkpoints, replay, 32, 0)
    assert torch.equal(assert_loads(folders, replay, 32).rows, replay.rows)


def test_going_on_after_a_load(folders):
    replay, checkpoints = new_replay(), Checkpoints(folders)
    save(checkpoints, replay, 4, 4)
    fresh, again = new_replay(), Checkpoints(folders)
    again.load(fresh)
    save(again, fresh, 9, 5)
    assert segments(folders[0]) == ["000000000000-000000000004.pt", "000000000004-000000000009.pt"]
    assert_loads(folders, fresh, 9)


@pytest.mark.parametrize("victim", ["state.pt", "manifest.json", "segment"])
@pytest.mark.parametrize("harm", ["cut", "flip", "gone"])
def test_damage_falls_back_with_one_warning(folders, victim, harm):
    replay, checkpoints = new_replay(), Checkpoints(folders)
    save(checkpoints, replay, 4, 4)
    save(checkpoints, replay, 8, 4)
    base = folders[1] / "checkpoints"
    path = base / "replay" / "000000000004-000000000008.pt" if victim == "segment" else base / "000000000008" / victim
    data = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    else:
        data[len(data) // 2] ^= 255
        path.write_bytes(data[: len(data) // 2] if harm == "cut" else data)
    with pytest.warns(UserWarning, match="damaged checkpoint .*step 8.*going on from step 4") as caught:
        assert_loads(folders, replay, 4)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = new_replay()
        assert_loads(folders, again, 4)  # the damaged one is gone
    assert steps(folders[0]) == [4]


def test_nothing_good_is_one_clear_error(folders):
    replay, checkpoints = new_replay(), Checkpoints(folders)
    for step in (4, 8):
        save(checkpoints, replay, step, 4)
        (folders[0] / "checkpoints" / f"{step:012d}" / "state.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"nothing to resume from in .*step 8: .*step 4: "):
        Checkpoints(folders).load(new_replay())
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(CheckpointError, match="no good checkpoint"):
        read_latest(folders[0])


def test_never_saved_is_not_an_error(folders):
    assert Checkpoints(folders).load(new_replay()) is None


def test_one_run_without_checkpoints_is(folders):
    replay, checkpoints = new_replay(), Checkpoints(folders)
    save(checkpoints, replay, 4, 4)
    save(checkpoints, replay, 8, 4)
    for step in (4, 8):
        (folders[0] / "checkpoints" / f"{step:012d}").rename(folders[0] / f"moved-{step}")
    with pytest.raises(CheckpointError, match="common to all"):
        Checkpoints(folders).load(new_replay())


def test_a_full_disk_keeps_the_last_good_one(folders, monkeypatch):
    replay, checkpoints = new_replay(), Checkpoints(folders)
    save(checkpoints, replay, 4, 4)

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_synced", full)
        with pytest.raises(CheckpointError, match=r"step 8 could not be written .*No space.*the one at step 4 is kept"):
            save(checkpoints, replay, 8, 4)
    assert not list(folders[0].rglob(".tmp*"))
    assert_loads(folders, replay, 4)
    save(checkpoints, replay, 12, 4)
    assert_loads(folders, replay, 12)


def test_runs_that_go_on_without_the_others(folders):
    replay, checkpoints = new_replay(), Checkpoints(folders)
    save(checkpoints, replay, 4, 4)
    kept, alone = checkpoints.select([1]), replay.select([1])
    kept.save(6, states(replay, 6)[1:], alone)
    assert (steps(folders[0]), steps(folders[1])) == ([4], [4, 6])
    assert read_latest(folders[1])["seed"] == 1


def test_files_hold_plain_values_only(folders):
    replay, checkpoints = new_replay(), Checkpoints(folders)
    save(checkpoints, replay, 4, 4)
    manifest = json.loads((folders[0] / "checkpoints/000000000004/manifest.json").read_text())
    assert manifest["step"] == 4 and manifest["segments"][0]["stop"] == 4
    for path in folders[0].rglob("*.pt"):
        torch.load(path, weights_only=True)
