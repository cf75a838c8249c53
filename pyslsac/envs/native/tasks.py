"""The tasks by name, and n environments of one. Names are known without MuJoCo."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pyslsac.envs.errors import TaskError
from pyslsac.envs.native.robots import ROBOTS
from pyslsac.envs.native.walkers import WALKERS

if TYPE_CHECKING:
    from pyslsac.envs.native.fleet import Fleet

GAMES = ("Goal", "Button", "Push", "Circle")
LEVELS = (0, 1, 2)
VELOCITY = {f"Safety{name}Velocity-v1": name for name in WALKERS}
NAVIGATION = {
    f"Safety{robot}{game}{number}-v0": (robot, game, number) for robot in ROBOTS for game in GAMES for number in LEVELS
}
STEPS = {**dict.fromkeys(VELOCITY, 1000), **{task: 500 if "Circle" in task else 1000 for task in NAVIGATION}}


def make(task: str, n: int, workers: int = 0, sky: bool = False) -> Fleet:
    """n environments of one of STEPS' tasks, stepped by `workers` threads. `sky`: for pictures of navigation worlds.

    TaskError: MuJoCo is missing or cannot read the task's model.
    """
    try:
        import_module("mujoco")
    except ImportError as error:
        raise TaskError(f"{task} needs MuJoCo ({error}); install it with: pip install mujoco") from error
    if task in VELOCITY:
        return import_module("pyslsac.envs.native.velocity").Velocity(VELOCITY[task], n, workers)
    robot, game, number = NAVIGATION[task]
    rules = import_module(f"pyslsac.envs.native.{game.lower()}")
    level = rules.level(number, ROBOTS[robot])
    navigation = import_module("pyslsac.envs.native.navigation")
    return navigation.Navigation(ROBOTS[robot], level, getattr(rules, game)(n, level), n, workers, sky)
