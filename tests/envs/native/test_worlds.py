"""Worlds and robots: a placed model is the compiled one, and on MuJoCo 2.3.3 the release's, in every number."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import mujoco
import numpy as np
import pytest

from pyslsac.envs import list_tasks, safety_gymnasium
from pyslsac.envs.native.robots import CAR, POINT, ROBOTS, Robot
from pyslsac.envs.native.things import Thing, goal, gremlins, pillars, push_box, walls
from pyslsac.envs.native.worlds import VERSION, World

problem = next(listing.problem for listing in list_tasks() if listing.backend == "safety-gymnasium")
if problem is None and VERSION != (2, 3):
    problem = f"the release's worlds are those of MuJoCo 2.3.3; this is {mujoco.__version__}"
needs_release = pytest.mark.skipif(problem is not None, reason=str(problem))
both = pytest.mark.parametrize("robot", [POINT, CAR], ids=lambda robot: robot.name)
LEVELS = [f"{game}{level}" for game in ("Goal", "Button", "Circle", "Push") for level in range(3)]
UNLIKE = ("name", "nnames", "nbuffer", "cam_", "ncam")  # names and cameras, which no number of the physics depends on


def things(robot: Robot, level: str) -> tuple[Thing, ...]:
    """What the tasks put into their worlds."""
    game, number = level[:-1], int(level[-1])
    return import_module(f"pyslsac.envs.native.{game.lower()}").level(number, robot).things


def numbers(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    """Every number of a model, by name."""
    parts = {"": model, "opt.": model.opt, "stat.": model.stat}
    parts |= {f"vis.{name}.": getattr(model.vis, name) for name in dir(model.vis) if not name.startswith("_")}
    found = {}
    for prefix, part in parts.items():
        for name in dir(part):
            if not name.startswith(("_", *UNLIKE)) and isinstance(getattr(part, name), int | float | np.ndarray):
                found[prefix + name] = np.array(getattr(part, name))
    assert len(found) > 300
    return found


def different(one: mujoco.MjModel, other: mujoco.MjModel) -> list[str]:
    """The names of the numbers in which two models differ by a bit or more."""
    a, b = numbers(one), numbers(other)
    assert a.keys() == b.keys()
    return [name for name in a if a[name].shape != b[name].shape or a[name].tobytes() != b[name].tobytes()]


def layouts(world: World, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places and rotations of any kind; some rotations are none at all."""
    random = np.random.default_rng(3)
    xy = random.uniform(-2, 2, (n, world.columns, 2))
    rot = random.uniform(0, 2 * np.pi, (n, world.columns))
    rot[1::2][random.random(rot[1::2].shape) < 0.5] = 0.0
    return list(zip(xy, rot, strict=True))


def shaken(model: mujoco.MjModel, data: mujoco.MjData, seed: int = 0) -> np.ndarray:
    """[20, nq] what random controls do to a simulation whose leaders move."""
    random, path = np.random.default_rng(seed), []
    for _ in range(20):
        data.ctrl[:] = random.uniform(-1, 1, model.nu)
        data.mocap_pos[:, :2] = random.uniform(-0.1, 0.1, (model.nmocap, 2))
        mujoco.mj_step(model, data, 5)
        path.append(data.qpos.copy())
    return np.array(path)


@both
@pytest.mark.parametrize("level", LEVELS)
def test_a_placed_model_is_the_compiled_one(robot: Robot, level: str) -> None:
    world = World(robot, things(robot, level))
    before, model = numbers(world.model), world.copy()
    data = mujoco.MjData(model)
    for xy, rot in layouts(world, 6):
        shaken(model, data)
        world.place(model, data, xy, rot)
        fresh = world.compile(xy, rot)
        assert different(model, fresh) == []
        np.testing.assert_array_equal(data.qpos, fresh.qpos0)
        assert data.time == 0 and not data.qvel.any() and not data.qacc_warmstart.any() and not data.ctrl.any()
        assert not data.mocap_pos.any() and (data.mocap_quat == [1, 0, 0, 0]).all()
    np.testing.assert_array_equal(shaken(model, data), shaken(fresh, mujoco.MjData(fresh)))
    assert all(before[name].tobytes() == now.tobytes() for name, now in numbers(world.model).items())


def of_release(world: World, env: Any) -> tuple[np.ndarray, np.ndarray]:
    """The layout, in our columns, with which the release began its episode."""
    info = env.unwrapped.task.world_info
    config, places = info.world_config_dict, [info.reset_layout["agent"]]
    rotations = [config["agent_rot"]]
    for thing in world.things:
        for i in range(thing.count):
            name = thing.name if thing.name in ("goal", "circle", "push_box") else f"{thing.name}{i}"
            kept = {"fixed": ("geoms", name), "free": ("free_geoms", name), "led": ("free_geoms", f"{name}obj")}
            group, key = kept[thing.body]
            places.append(info.reset_layout[name])
            rotations.append(config[group][key]["rot"])
    return np.array(places), np.array(rotations, np.float64)


@needs_release
@both
@pytest.mark.parametrize("level", LEVELS)
def test_worlds_are_the_release_s(robot: Robot, level: str) -> None:
    env = safety_gymnasium.make(f"Safety{robot.name}{level}-v0")
    world = World(robot, things(robot, level))
    model = world.copy()
    data = mujoco.MjData(model)
    for seed in range(3):
        env.reset(seed=seed)
        release = mujoco.MjModel.from_xml_string(env.unwrapped.task.world.xml_string)
        xy, rot = of_release(world, env)
        world.place(model, data, xy, rot)
        assert different(world.compile(xy, rot), release) == []
        assert different(model, release) == []
        for thing in world.things:
            assert not thing.turns or tuple(rot[world.slots[thing.name]]) == thing.turns
    agent = env.unwrapped.task.agent.body_info.geom_names
    assert [release.geom(i).name for i in world.robot_geoms] == agent


@needs_release
@both
def test_observations_and_velocities_are_the_release_s(robot: Robot) -> None:
    env = safety_gymnasium.make(f"Safety{robot.name}Goal1-v0")
    env.reset(seed=4)
    task, random = env.unwrapped.task, np.random.default_rng(0)
    rot = np.array([task.world_info.world_config_dict["agent_rot"]])
    for _ in range(30):
        obs, *_ = env.step(random.uniform(-1, 1, robot.actions))
        np.testing.assert_array_equal(robot.observe(task.data.sensordata[None])[0], obs[: robot.size])
        ours = robot.velocity(task.data.qvel[None], robot.heading(rot))[0]
        np.testing.assert_allclose([ours.real, ours.imag], task.agent.vel[:2], rtol=0, atol=1e-12)


@both
def test_sensors_are_read_by_their_columns(robot: Robot) -> None:
    model = World(robot, things(robot, "Goal0")).model
    kinds = ["ACCELEROMETER", "VELOCIMETER", "GYRO", "MAGNETOMETER"] + ["BALLANGVEL"] * (robot is CAR)
    at = {int(kind): int(column) for kind, column in zip(model.sensor_type, model.sensor_adr, strict=True)}
    columns = [at[int(getattr(mujoco.mjtSensor, f"mjSENS_{kind}"))] + i for kind in kinds for i in range(3)]
    readings = np.random.default_rng(0).normal(size=(3, model.nsensordata))
    expected = readings[:, columns]
    if robot is CAR:
        quats, matrices = readings[:, at[int(mujoco.mjtSensor.mjSENS_BALLQUAT)] :][:, :4], np.zeros((3, 9))
        for quat, matrix in zip(quats, matrices, strict=True):
            quat /= np.linalg.norm(quat)
            mujoco.mju_quat2Mat(matrix, quat)
        expected = np.concatenate([expected, matrices], axis=1)
    seen = robot.observe(readings)
    assert seen.shape == (3, robot.size)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-15)
    assert (robot.actions, robot.timestep) == (model.nu, model.opt.timestep) and ROBOTS[robot.name] is robot


@both
def test_velocity_is_the_jacobian_times_qvel(robot: Robot) -> None:
    world = World(robot, things(robot, "Push1"))
    model = world.copy()
    data = mujoco.MjData(model)
    for seed, (xy, rot) in enumerate(layouts(world, 5)):
        world.place(model, data, xy, rot)
        shaken(model, data, seed)
        mujoco.mj_forward(model, data)
        jacobian = np.zeros((3, model.nv))
        mujoco.mj_jacBody(model, data, jacobian, None, world.body)
        ours = robot.velocity(data.qvel[None], robot.heading(rot[:1]))[0]
        np.testing.assert_allclose([ours.real, ours.imag], (jacobian @ data.qvel)[:2], rtol=0, atol=1e-12)
    assert np.abs(ours).max() > 1e-3
    turned = POINT.velocity(np.array([[2.0, 1.0, 5.0]]), POINT.heading(np.array([np.pi / 2])))
    np.testing.assert_allclose(turned, [-1 + 2j], atol=1e-15)  # x looks along y, y against x


def test_where_everything_is() -> None:
    world = World(POINT, [gremlins(2, 0.4), push_box(0.2, 0.001), walls(2, 1.125), goal(), pillars(1)])
    assert [thing.name for thing in world.things] == ["sigwall", "goal", "pillar", "push_box", "gremlin"]
    slots = {"sigwall": slice(1, 3), "goal": slice(3, 4), "pillar": slice(4, 5), "push_box": slice(5, 6)}
    assert world.slots == slots | {"gremlin": slice(6, 8)} and world.columns == 8
    # bodies: world 0, robot 1, push box 2, gremlins 3 and 4, their leaders 5 and 6, then what is fixed
    bodies = {"sigwall": [7, 8], "goal": [9], "pillar": [10], "push_box": [2], "gremlin": [3, 4]}
    assert {name: ids.tolist() for name, ids in world.bodies.items()} == bodies
    # geoms: floor 0, robot 1 and 2, push box 3 to 7, gremlins 8 and 9, leaders 10 and 11, then what is fixed
    geoms = {"sigwall": [12, 13], "goal": [14], "pillar": [15], "push_box": [3, 4, 5, 6, 7], "gremlin": [8, 9]}
    assert {name: ids.tolist() for name, ids in world.geoms.items()} == geoms
    assert (world.body, world.robot_geoms.tolist(), world.mocaps.tolist()) == (1, [1, 2], [0, 1])
    heights = [0, 0.1, 0.2, 0.1, 0.1, 0, 0, 0.25, 0.25, 0.3 / 2 + 0.01, 0.5]
    np.testing.assert_array_equal(world.model.body_pos[:, 2], heights)
    assert world.model.body_mass[1] == pytest.approx(4 / 3 * np.pi * 0.1**3 + 0.1**3)
    assert world.model.body_mass[2] == pytest.approx(0.001 * (0.4**3 + 4 * 0.2 * 0.2 * 0.4))


def test_the_sky_changes_nothing_but_textures() -> None:
    bare, under_sky = (World(CAR, things(CAR, "Button1"), sky).model for sky in (False, True))
    names = different(bare, under_sky)
    assert names and all(name.startswith(("tex_", "ntex", "signature")) for name in names)


@both
def test_cameras_look_from_where_they_should(robot: Robot) -> None:
    world = World(robot, things(robot, "Circle1"))
    model = world.copy()
    data = mujoco.MjData(model)
    for xy, rot in layouts(world, 3):
        world.place(model, data, xy, rot)
        fresh = world.compile(xy, rot)
        for one, state in ((model, data), (fresh, mujoco.MjData(fresh))):
            mujoco.mj_forward(one, state)
            track = one.camera("track").id
            np.testing.assert_allclose(state.cam_xpos[track] - state.xpos[world.body], [0, 2, 2], atol=1e-12)
            axes = np.array([[-1, 0, 0], [0, -(0.5**0.5), 0.5**0.5], [0, 0.5**0.5, 0.5**0.5]]).T  # right, up, behind
            np.testing.assert_allclose(state.cam_xmat[track].reshape(3, 3), axes, atol=1e-12)
            assert {one.camera(i).name for i in range(one.ncam)} == {"vision", "fixednear", "fixedfar", "track"}
