"""The safety-gymnasium 1.0.0 release as it is, on Pythons it was not made for and without its one-second resets.

`load` imports it. On Python 3.11 the release cannot be imported, because some of its dataclasses have an array as a
default; while it is imported, such defaults become factories that copy the array. `make` returns the release's own
environment (six values a step, the cost is the third) in which, unless something renders, the sky is not built: every
reset compiles a world whose sky is six large pictures, which takes a second and changes no number.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from pyslsac.envs.errors import TaskError, close_matches

INSTALL = (
    "pip install --no-deps safety-gymnasium==1.0.0 gymnasium-robotics==1.2.2 && "
    "pip install gymnasium==0.28.1 mujoco==2.3.3 pettingzoo==1.24.3 'pygame>=2.5' xmltodict pyyaml imageio jinja2"
)


@functools.cache
def load() -> ModuleType:
    """The imported package. TaskError names the pip command when it, or something it needs, is missing."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        with array_defaults_copied():
            return importlib.import_module("safety_gymnasium")
    except ImportError as error:
        raise TaskError(f"safety-gymnasium cannot be imported ({error}); install it with: {INSTALL}") from error


def task_names() -> list[str]:
    """The names of all tasks that the release registers, sorted."""
    load()
    registration = importlib.import_module("safety_gymnasium.utils.registration")
    return sorted(registration.safe_registry)


def make(task: str, **kwargs: Any) -> Any:
    """The release's environment called `task`; kwargs go to its constructor. See the module's first lines."""
    known, name = task_names(), task.replace("Gymnasium-v", "-v")  # its five-value ids name the same tasks
    if name not in known:
        raise TaskError(f"safety-gymnasium has no task {task!r}{close_matches(task, known)}")
    env = load().make(name, disable_env_checker=True, **kwargs)
    inner = env.unwrapped
    if hasattr(inner, "task"):  # a navigation task
        if not inner.task.observe_vision and kwargs.get("render_mode") is None:
            _leave_out_the_sky(inner.task)
        env.reset = functools.partial(_reset, env.reset)
        env.reset(seed=0)  # the solver starts otherwise in an instance's very first episode, so no seed would repeat it
    return env


def _reset(reset: Callable[..., Any], *, seed: int, tries: int = 100) -> Any:
    """The first layout from `seed` on that the release accepts: not one it cannot place or that costs at once."""
    for attempt in range(tries - 1):
        try:
            return reset(seed=(seed + attempt) % 2**32)
        except AssertionError:  # ResamplingError is one
            continue
    return reset(seed=(seed + tries - 1) % 2**32)


@contextmanager
def array_defaults_copied() -> Iterator[None]:
    """While this lasts, a dataclass field whose default is an array gets a factory of copies, as Python 3.11 demands.

    Arrays only: other packages keep unhashable class variables that must stay what they are.
    """
    original = dataclasses.dataclass

    def with_factories(cls: type) -> type:
        for name in inspect.get_annotations(cls):
            default = cls.__dict__.get(name)
            if isinstance(default, np.ndarray):
                setattr(cls, name, dataclasses.field(default_factory=functools.partial(copy.copy, default)))
        return cls

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        if cls is None:
            return lambda later: original(with_factories(later), **options)
        return original(with_factories(cls), **options)

    dataclasses.dataclass = dataclass  # type: ignore[assignment]
    try:
        yield
    finally:
        dataclasses.dataclass = original


def _leave_out_the_sky(task: Any) -> None:
    """Make `task` build its worlds without the sky-box texture; other tasks in this process keep theirs."""
    module = importlib.import_module("safety_gymnasium.world")
    underlying = importlib.import_module("safety_gymnasium.bases.underlying")

    class SkylessWorld(module.World):  # type: ignore[name-defined]
        def build(self) -> None:
            with _replaced(module, xmltodict=_skyless(module.xmltodict), yaml=_reading_once(module.yaml)):
                super().build()

    build = task._build

    def build_skyless() -> None:
        with _replaced(underlying, World=SkylessWorld):
            build()

    task._build = build_skyless


@contextmanager
def _replaced(module: ModuleType, **names: Any) -> Iterator[None]:
    before = {name: getattr(module, name) for name in names}
    vars(module).update(names)
    try:
        yield
    finally:
        vars(module).update(before)


def _skyless(xmltodict: ModuleType) -> SimpleNamespace:
    """`xmltodict`, but what it writes has no sky."""

    def unparse(world: dict[str, Any]) -> str:
        asset = world["mujoco"]["asset"]
        asset["texture"] = [texture for texture in asset["texture"] if texture.get("@type") != "skybox"]
        return str(xmltodict.unparse(world))

    return SimpleNamespace(parse=xmltodict.parse, unparse=unparse)


_asset_files: dict[str, Any] = {}


def _reading_once(yaml: ModuleType) -> SimpleNamespace:
    """`yaml`, but a file is parsed only the first time: parsing the list of assets is most of what a reset costs."""

    def read(file: Any, Loader: Callable[..., Any]) -> Any:
        if file.name not in _asset_files:
            _asset_files[file.name] = yaml.load(file, Loader=Loader)
        return copy.deepcopy(_asset_files[file.name])

    return SimpleNamespace(load=read, FullLoader=yaml.FullLoader)
