"""What the physics leaves out or takes together changes no bit."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from pyslsac.envs.native import physics, tasks
from pyslsac.envs.native.navigation import Navigation

FIELDS = ("qpos", "qvel", "qacc_warmstart", "qacc", "sensordata", "xpos", "xmat", "mocap_pos", "time")


def fleet(name: str) -> Navigation:
    made = tasks.make(name, 1)
    assert isinstance(made, Navigation)
    made.reset([0], [7], [0])
    return made


def assert_same(one: Navigation, other: Navigation) -> None:
    for field in FIELDS:
        mine, theirs = (np.asarray(getattr(each.datas[0], field)) for each in (one, other))
        assert mine.tobytes() == theirs.tobytes(), field


def plainly(made: Navigation) -> None:
    """A step as MuJoCo's calls alone make it."""
    model, data, path = made.models[0], made.datas[0], made.physics.path
    first = round(data.time / made.timestep)
    for step in range(made.frame_skip):
        if path is not None:
            data.mocap_pos[:] = path[first + step, : data.mocap_pos.size].reshape(-1, 3)
        mujoco.mj_step(model, data)
    for _ in range(3):
        mujoco.mj_forward(model, data)


@pytest.mark.parametrize("name", ["SafetyPointGoal1-v0", "SafetyCarPush1-v0", "SafetyPointButton1-v0"])
def test_a_step_is_what_plain_calls_make_it(name: str) -> None:
    ours, plain = fleet(name), fleet(name)
    assert_same(ours, plain)
    for action in np.random.default_rng(0).uniform(-1, 1, (150, 2)):
        for made in (ours, plain):
            made.datas[0].ctrl[:] = action
        ours._advance([0])
        plainly(plain)
        assert_same(ours, plain)


@pytest.mark.skipif(not physics.TAKES_MOCAPS, reason=f"MuJoCo {mujoco.__version__} has the loop alone")
def test_led_things_go_the_same_way_in_mujocos_loop_and_in_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = fleet("SafetyCarButton1-v0"), fleet("SafetyCarButton1-v0")
    for action in np.random.default_rng(1).uniform(-1, 1, (100, 2)):
        for made, takes in ((theirs, True), (ours, False)):
            monkeypatch.setattr(physics, "TAKES_MOCAPS", takes)
            made.step(action[None])
        assert_same(theirs, ours)


def test_sensors_are_heard_again_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made = fleet("SafetyPointGoal1-v0")
    flags = made.models[0].opt.disableflags

    def broken(*_: object) -> None:
        raise ArithmeticError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(mujoco, "mj_step", broken)
        with pytest.raises(ArithmeticError):
            made.step(np.zeros((1, 2)))
    assert made.models[0].opt.disableflags == flags
