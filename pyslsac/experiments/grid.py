"""The file of a sweep: which algorithm trains on which task with which options, cell by cell.

Options come in layers, each stronger than the one before: those of the whole file, of the algorithm, of the task, of
the variant, of the point of the grid. Everything is checked before anything trains.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pyslsac.experiments.cell import Cell
from pyslsac.train.settings import FILE, Settings, read_settings

PAPER = Path(__file__).parent / "paper"
OPTIONS = typing.get_type_hints(Settings)  # of `train`
del OPTIONS["algo"], OPTIONS["task"], OPTIONS["seed"]
KEYS = {
    "algos": Any,
    "tasks": Any,
    "variants": Any,
    "grid": Any,
    "out": str,
    "lockstep": bool,
    "gpus": float,
    "wandb": bool,
}
FREE = ("device", "threads", "env", "preset", "seed")  # what may differ from what was recorded, unless the file says it
Options = dict[str, tuple[Any, str]]  # by name, such as agent.width: the value, and where it was written


@dataclass(frozen=True)
class Plan:
    """The cells of a sweep, where they go, the share of a GPU that each takes, and the GPUs of this machine."""

    cells: list[Cell]
    out: Path
    gpus: float
    devices: int


class SweepError(ValueError):
    """What is wrong in a sweep's file."""


class Loader(yaml.SafeLoader):
    """YAML in which 3e-4 is a number, as in YAML 1.2."""


FLOAT = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$")
Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def find(name: str) -> Path:
    """The file `name`, or the sweep of that name among the paper's."""
    known = {path.stem: path for path in sorted(PAPER.glob("*.yaml"))}
    if not Path(name).is_file() and name not in known:
        raise SweepError(f"there is no file {name}{close(name, known)}; the paper's sweeps are {', '.join(known)}")
    return Path(name) if Path(name).is_file() else known[name]


def close(name: object, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def plan(name: str, out: Path | None = None) -> Plan:
    """What the sweep `name` trains; SweepError says which file, which key and what is wrong there."""
    file = find(name)
    try:
        return _plan(file, out)
    except ValueError as error:
        raise SweepError(f"{file}: {error}") from error


def _plan(file: Path, out: Path | None) -> Plan:
    import torch

    content = read(file)
    common = flatten({name: value for name, value in content.items() if name not in KEYS}, "")
    top = {name: fitted(content[name], kind, name) for name, kind in KEYS.items() if name in content}
    folder = (out or Path(top.get("out") or Path("runs", file.stem))).absolute()
    cells: list[Cell] = []
    for algo, task, variant in itertools.product(axis(top, "algos"), axis(top, "tasks"), variants(top)):
        options = common | algo[1] | task[1] | variant[1]
        name = "/".join(filter(None, (algo[0], as_folder(task[0]), variant[0])))
        cells += resolve(name, algo[0], task[0], options, folder, top)
    for one in (cell for cell in cells if sum(cell.name == other.name for other in cells) > 1):
        raise ValueError(f"two cells are called {one.name}: give them different names")
    check_tasks(cells)
    check_recorded(cells)
    return Plan(cells, folder, top.get("gpus", 1.0), torch.cuda.device_count())


def read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_text(), Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("holds no sweep; write algos: [...], tasks: [...] and steps: N")
    return content


def flatten(layer: Any, where: str) -> Options:
    """The options of one layer by dotted name, those of the trainer checked."""
    if not isinstance(layer, Mapping):
        raise ValueError(f"{where.rstrip('.')}: got {layer!r}, wanted options, such as {{steps: 100000}}")
    options: Options = {}
    for name, value in layer.items():
        options |= flat(str(name), value, f"{where}{name}")
    return options


def flat(name: str, value: Any, where: str) -> Options:
    """One option, written as agent: {width: 8} or as agent.width: 8, by dotted name."""
    head, _, field = name.partition(".")
    if head not in OPTIONS or (field and head not in ("agent", "env")):
        known = [*OPTIONS, *(KEYS if where == name else ())]
        raise ValueError(f"{where}: there is no such option{close(name, known) or '; known: ' + ', '.join(known)}")
    if field:
        return {name: (value, where)}
    if head not in ("agent", "env"):
        return {name: (fitted(value, OPTIONS[name], where), where)}
    if not isinstance(value or {}, Mapping):
        raise ValueError(f"{where}: got {value!r}, wanted names and values below it")
    return {f"{name}.{key}": (item, f"{where}.{key}") for key, item in (value or {}).items()}


def axis(top: Mapping[str, Any], key: str) -> list[tuple[str, Options]]:
    """The names of an axis, each with its own options: a list of names, or names with options below them."""
    names = top.get(key)
    if isinstance(names, list) and all(isinstance(n, str) for n in names) and len(set(names)) == len(names):
        names = dict.fromkeys(names)
    if not isinstance(names, Mapping) or not names:
        raise ValueError(f"{key}: got {top.get(key)!r}, wanted different names: a list, or options below each")
    return [(str(name), flatten({} if own is None else own, f"{key}.{name}.")) for name, own in names.items()]


def variants(top: Mapping[str, Any]) -> Iterator[tuple[str, Options]]:
    """Every variant at every point of the grid; one without name or options where there is neither."""
    named = axis(top, "variants") if "variants" in top else [("", {})]
    grid = top.get("grid", {})
    if not isinstance(grid, Mapping) or not all(isinstance(values, list) and values for values in grid.values()):
        raise ValueError(f"grid: got {grid!r}, wanted options with lists of values, such as agent.risk_level: [0.1, 1]")
    for (variant, own), *point in itertools.product(named, *([(key, v) for v in grid[key]] for key in grid)):
        options: Options = {}
        for key, value in point:
            options |= flat(str(key), value, f"grid.{key}")
        spelt = [f"{str(key).rpartition('.')[2]}={value}" for key, value in point]
        yield as_folder(",".join(filter(None, (variant, *spelt)))), own | options


def as_folder(name: str) -> str:
    return name.translate(str.maketrans("/: ", "---"))


def resolve(name: str, algo: str, task: str, options: Options, out: Path, top: Mapping[str, Any]) -> Iterator[Cell]:
    """The cell of these options: one, or one a seed where the seeds do not train in lockstep."""
    from pyslsac.agents import AGENTS, PRESETS, OffPolicyConfig

    if algo not in AGENTS:
        raise ValueError(f"algos: unknown algorithm {algo!r}{close(algo, AGENTS) or '; known: ' + ', '.join(AGENTS)}")
    if "steps" not in options:
        raise ValueError(f"steps: {name} has none; write how many environment steps each seed takes")
    given = {key: value for key, (value, _) in options.items() if "." not in key}
    preset, presets = given.get("preset"), PRESETS[algo](task)
    if preset is not None and preset not in presets:
        hint = close(preset, presets) or f"; known: {', '.join(presets)}"
        raise ValueError(f"{options['preset'][1]}: {algo} has no preset {preset!r}{hint}")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", given.get("device", "auto")):
        raise ValueError(f"{options['device'][1]}: got {given['device']!r}, wanted auto, cpu, cuda or cuda:1")
    fields = typing.get_type_hints(AGENTS[algo][1])
    agent, env = {}, {}
    for key, (value, where) in options.items():
        head, _, field = key.partition(".")
        if head == "agent":
            if field not in fields:
                raise ValueError(f"{where}: {algo} has no field {field!r}{close(field, fields)}")
            agent[field] = fitted(value, fields[field], where)
        elif head == "env":
            env[field] = value
    given |= {"agent": agent, "env": env}
    settings_of(name, algo, task, given)
    seeds = given.pop("seeds", [0])
    together = top.get("lockstep", True) and issubclass(AGENTS[algo][1], OffPolicyConfig)
    for group in [seeds] if together else [[seed] for seed in seeds]:
        called = name if group == seeds else f"{name}/seed-{group[0]:03d}"
        log = out / "logs" / f"{called.replace('/', '--')}.txt"
        rest = {key: value for key, value in given.items() if key != "steps"}
        yield Cell(called, algo, task, group, out / name, log, given["steps"], rest, top.get("wandb", False))


def settings_of(name: str, algo: str, task: str, given: Mapping[str, Any]) -> Settings:
    """What a run of these options records, as far as the file decides it."""
    from pyslsac.agents import config_for

    try:
        config = config_for(algo, given.get("preset"), task, given["agent"])
        return Settings(algo, task, **{"seeds": [0], **given, "agent": dataclasses.asdict(config)})
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def fitted(value: Any, kind: Any, where: str) -> Any:
    """`value` as the type `kind` wants it, 1e6 as an integer, a list as a tuple; ValueError where it does not fit."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        for part in parts:
            with suppress(ValueError):
                return fitted(value, part, where)
    elif origin is typing.Literal:
        if value in parts:
            return value
    elif origin in (tuple, list) and isinstance(value, list):
        each = parts if origin is tuple and Ellipsis not in parts else parts[:1] * len(value)
        if len(value) == len(each):
            return origin(fitted(item, part, where) for item, part in zip(value, each, strict=True))
    elif kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif origin is None and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    wanted = kind.__name__ if origin is None else str(kind).replace("typing.", "")
    raise ValueError(f"{where}: got {value!r}, wanted {wanted}")


def check_tasks(cells: Iterable[Cell]) -> None:
    """Take a step in one environment of each task; ValueError where that fails, or reports no cost."""
    from pyslsac.envs import make_vec

    seen: dict[Any, Cell] = {}
    for cell in cells:
        key = (cell.task, cell.options.get("cost_key", "cost"), repr(cell.options["env"]))
        seen.setdefault(key, cell)
    for (task, cost_key, _), cell in seen.items():
        try:
            with closing(make_vec(task, 1, cost_key=cost_key, **cell.options["env"] | {"workers": 0})) as venv:
                venv.reset()
                venv.step(np.zeros((1, venv.spec_.act_dim), np.float32))
        except (ValueError, TypeError, ModuleNotFoundError) as error:
            raise ValueError(f"tasks: {cell.name}: {error}") from error


def check_recorded(cells: Iterable[Cell]) -> None:
    """ValueError where runs that are there were trained with other settings than the file asks for now."""
    changed = []
    for cell in cells:
        wanted = settings_of(cell.name, cell.algo, cell.task, cell.options | {"steps": cell.steps, "seeds": cell.seeds})
        for folder in cell.folders:
            if (folder / FILE).is_file() and (different := differences(cell, wanted, read_settings(folder))):
                changed.append(f"{folder}: {', '.join(different)}")
                break
    if changed:
        listed = "\n  ".join(changed)
        raise ValueError(
            f"there are runs with other settings:\n  {listed}\nTake the change back, give the sweep another `out`, or "
            "remove these folders to train them again. To train longer: pyslsac train --resume DIR --steps N"
        )


def differences(cell: Cell, wanted: Settings, found: Settings) -> list[str]:
    """What the file asks for and was not recorded so, in words."""
    one, other = dataclasses.asdict(wanted), dataclasses.asdict(found)
    auto = cell.options.get("device", "auto") == "auto"
    names = [name for name in one if name not in FREE and name != "agent"]
    names += [name for name in ("device", "threads") if name in cell.options and not (name == "device" and auto)]
    pairs = {name: (one[name], other[name]) for name in names}
    for part in ("agent", "env"):
        both = one[part] | other[part]
        pairs |= {f"{part}.{key}": (one[part].get(key), other[part].get(key)) for key in both}
    if one["env"].get("backend", "auto") == "auto":
        pairs.pop("env.backend", None)  # which one it was
    return [f"{name} is {then!r} there and {now!r} in the file" for name, (now, then) in pairs.items() if now != then]
