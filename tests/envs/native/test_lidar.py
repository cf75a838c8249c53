"""The batched pseudo lidar against the definition written out for one thing after another, and against the release."""

from __future__ import annotations

import importlib
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pyslsac.envs import TaskError, safety_gymnasium
from pyslsac.envs.native.lidar import closeness, in_frame
from pyslsac.envs.native.robots import plane

BINS = 16


def readings(places: np.ndarray, reach: float, bins: int = BINS) -> np.ndarray:
    """One kind's lidar, from the definition."""
    lidar = [0.0] * bins
    for x, y in places.tolist():
        turns = (math.atan2(y, x) / (2 * math.pi)) % 1.0 * bins  # bins from the front to the left
        whole = math.floor(turns)
        near = max(0.0, 1 - math.sqrt(x * x + y * y) / reach)
        for slot, share in ((whole, 1.0), (whole + 1, turns - whole), (whole - 1, 1 - (turns - whole))):
            lidar[slot % bins] = max(lidar[slot % bins], share * near)
    return np.array(lidar)


def expected(ego: np.ndarray, starts: np.ndarray, reach: float, bins: int = BINS) -> np.ndarray:
    kinds = [np.split(np.stack([places.real, places.imag], -1), starts[1:]) for places in ego.T]
    return np.array([[readings(members, reach, bins) for members in row] for row in kinds])


def test_by_hand() -> None:
    ego = np.array([[1.5], [3j], [-1.5], [-0.75j]])
    seen = closeness(ego, np.array([0, 1]), reach=3.0)
    ahead, others = np.zeros(BINS), np.zeros(BINS)
    ahead[[0, 15]] = 0.5  # on the edge of bins 0 and 15; nothing spills into bin 1
    others[[8, 7]] = 0.5
    others[[12, 11]] = 0.75  # and what lies at the reach is not seen
    np.testing.assert_allclose(seen, [[ahead, others]], atol=1e-15)
    quarter = np.exp(1j * np.array([[np.pi / 32]]))  # a quarter of the way through bin 0
    np.testing.assert_allclose(closeness(quarter, np.array([0]), 2.0)[0, 0, [15, 0, 1]], [0.375, 0.5, 0.125])


@given(
    arrays(np.float64, (5, 2, 2), elements=st.floats(-4, 4)),
    st.sampled_from([[0], [0, 1], [0, 4], [0, 2, 3], [0, 1, 2, 3, 4]]),
    st.sampled_from([1.0, 3.0, 6.0]),
    st.sampled_from([3, 10, BINS]),
)
def test_any_places(xy: np.ndarray, starts: list[int], reach: float, bins: int) -> None:
    ego = plane(xy)
    seen = closeness(ego, np.array(starts), reach, bins)
    assert seen.shape == (2, len(starts), bins) and seen.dtype == np.float64
    np.testing.assert_allclose(seen, expected(ego, np.array(starts), reach, bins), rtol=0, atol=1e-12)


@pytest.mark.parametrize("nudge", [-1e-300, -1e-17, -1e-9, 0.0, 1e-9, 1e-17])
def test_the_edges_of_the_bins(nudge: float) -> None:
    angles = np.arange(-BINS, BINS + 1) * (2 * np.pi / BINS)
    exact = [(1, 0), (1, -0.0), (0, 1), (-1, 0), (-1, -0.0), (0, -1), (1, 1), (-1, -1), (0, 0), (-0.0, -0.0)]
    xy = np.concatenate([np.stack([np.cos(angles), np.sin(angles)], -1), np.array(exact)])
    xy[:, 1] += nudge
    ego = plane(xy)[:, None]
    for starts in (np.arange(len(ego)), np.array([0])):
        np.testing.assert_allclose(closeness(ego, starts, 3.0), expected(ego, starts, 3.0), rtol=0, atol=1e-12)


def test_views_are_taken_as_they_are() -> None:
    ego = plane(np.random.default_rng(0).normal(size=(7, 4, 2)))
    view, starts = ego[1:, ::2], np.array([0, 2])
    np.testing.assert_array_equal(closeness(view, starts, 3.0), closeness(view.copy(), starts, 3.0))
    np.testing.assert_array_equal(closeness(view, starts, 3.0)[1:], closeness(view[:, 1:], starts, 3.0))


def tilted(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and xmats of robots that lie anyhow."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)), np.linalg.qr(rng.normal(size=(count, 3, 3)))[0].reshape(count, 9)


def away_from(position: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """[k, n] from places xy [n, k, 2]."""
    return plane(xy).T - plane(position)


@given(arrays(np.float64, (3, 2, 2), elements=st.floats(-10, 10)), st.integers(0, 99))
def test_the_robot_s_frame(xy: np.ndarray, seed: int) -> None:
    position, matrix = tilted(3, seed)
    ego = in_frame(away_from(position, xy), position[:, 2], matrix)
    for row, column in np.ndindex(3, 2):
        away = [xy[row, column, 0] - position[row, 0], xy[row, column, 1] - position[row, 1], 0 - position[row, 2]]
        for axis in (0, 1):
            ahead = math.fsum(away[i] * matrix[row, 3 * i + axis] for i in range(3))
            assert (ego[column, row].real, ego[column, row].imag)[axis] == pytest.approx(ahead, rel=0, abs=1e-12)


def test_a_quarter_turn_to_the_left() -> None:
    matrix = np.array([[0.0, -1, 0, 1, 0, 0, 0, 0, 1]])
    ego = in_frame(np.array([[2j], [-1.0]]), np.array([0.1]), matrix)
    np.testing.assert_array_equal(ego, [[2.0], [1j]])
    np.testing.assert_array_equal(ego, np.array([[2j], [-1.0]]) * plane(matrix))  # as of a robot that cannot tilt


def test_the_release_sees_the_same() -> None:
    try:
        safety_gymnasium.load()
    except TaskError as error:
        pytest.skip(str(error))
    task = importlib.import_module("safety_gymnasium.bases.base_task")
    position, matrix = tilted(20, seed=1)
    xy = np.random.default_rng(2).normal(size=(20, 6, 2))
    starts = np.array([0, 1, 4])
    seen = closeness(in_frame(away_from(position, xy), position[:, 2], matrix), starts, 3.0)
    for row in range(20):
        agent = SimpleNamespace(pos=position[row], mat=matrix[row].reshape(3, 3))
        theirs = SimpleNamespace(lidar_conf=task.LidarConf(max_dist=3), agent=agent)
        theirs._ego_xy = partial(task.BaseTask._ego_xy, theirs)
        release = [task.BaseTask._obs_lidar_pseudo(theirs, places) for places in np.split(xy[row], starts[1:])]
        np.testing.assert_allclose(seen[row], release, rtol=0, atol=1e-12)
