"""The command `pyslsac`.

Options come from four places, each stronger than the one before: defaults, `--preset`, `--config FILE.yaml` and the
command line. Exit codes: 0 done · 2 bad usage or configuration · 1 failed while running · 130 and 143 stopped by
Ctrl-C and SIGTERM, after a checkpoint. Nothing here imports torch until a command needs it.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
import yaml
from rich.console import Console
from rich.table import Table
from tyro.conf import FlagConversionOff, FlagCreatePairsOff, Positional, Suppress, arg, subcommand

if TYPE_CHECKING:
    from pyslsac.train.run import TrainResult

DESCRIPTION = "Safe reinforcement learning with Langevin samplers: train, evaluate and plot."
STEPS = 1_000_000
SPINS = "20000"  # how long GNU OpenMP's threads spin for work before they sleep. Their default, for ever, makes updates
# many times slower when another job or a worker has a core; sleeping at once makes them slower on an idle machine


def option(metavar: str, default: object = None) -> Any:
    """How an option is shown that is None unless given: `metavar`, and what the trainer takes in its place."""
    return arg(metavar=metavar, help_behavior_hint="" if default is None else f"(default: {default})")


@dataclass(frozen=True)
class Train:
    """Train ALGO on TASK, all seeds in lockstep, into runs/ALGO/TASK/seed-000, seed-001, ...

    `pyslsac list algos` and `pyslsac list tasks` name what there is; `pyslsac train ALGO --help` shows its own fields.
    `pyslsac train --resume DIR` goes on with the runs in DIR, on the CPU exactly as if they had never stopped.
    """

    algo: Annotated[Positional[str], option("ALGO")] = ""
    """An algorithm, such as sl-sac."""
    task: Annotated[Positional[str], option("TASK")] = ""
    """A safety-gymnasium task, a Gymnasium id, or module:Id of your own; its info must hold a cost."""
    steps: Annotated[int | None, option("N", STEPS)] = None
    """Environment steps per seed. With --resume: where to stop, if not where first planned."""
    seeds: Annotated[tuple[int, ...] | None, option("N [N ...]", 0)] = None
    """Independent runs that train together."""
    num_envs: Annotated[int | None, option("N", 1)] = None
    """Environments per seed."""
    device: str = "auto"
    """cpu, cuda, cuda:1, or auto: the GPU where there is one."""
    preset: Annotated[str | None, option("NAME")] = None
    """Named settings of the algorithm, such as paper, omnisafe, step, demo."""
    config: Annotated[Path | None, option("FILE.yaml")] = None
    """Any of these options by name (num_envs: 4), and the agent's fields below agent:."""
    out: Annotated[Path | None, option("DIR", "runs/ALGO/TASK")] = None
    """The run directory."""
    resume: Annotated[Path | None, option("DIR")] = None
    """A run directory, or one seed's, to go on with."""
    threads: Annotated[int | None, option("N", "one a core")] = None
    """CPU threads."""
    cost_key: Annotated[str | None, option("KEY", "cost")] = None
    """Where the environment's info holds the cost."""
    eager: Annotated[bool | None, option("BOOL", "False")] = None
    """Make every update by its Python, for a profiler or a debugger, instead of replaying recorded ones."""
    faithful: Annotated[bool | None, option("BOOL", "False")] = None
    """Learn from each step at once, in the strict order of the papers, instead of updating while environments step."""
    env: Annotated[Any, Suppress] = None
    """Further arguments of make_vec, a mapping; YAML only."""
    eval_every: Annotated[int | None, option("N", 10)] = None
    """Epochs between evaluations; 0: only the final one."""
    eval_episodes: Annotated[int | None, option("N", 10)] = None
    """Episodes of an evaluation during training."""
    final_episodes: Annotated[int | None, option("N", 30)] = None
    """Episodes of the evaluation at the end."""
    checkpoint_every: Annotated[int | None, option("N", 10)] = None
    """Epochs between checkpoints."""
    wandb: FlagCreatePairsOff[bool] = False
    """Log to Weights & Biases too."""
    quiet: FlagCreatePairsOff[bool] = False
    """Show nothing while training."""


@dataclass(frozen=True)
class Eval:
    """Play whole episodes with the newest checkpoint of every seed in or below DIR, and note them in its eval.json."""

    directory: Annotated[Positional[Path], arg(metavar="DIR")]
    """A run directory, or one seed's."""
    episodes: int = 30
    """Episodes per seed."""
    stochastic: FlagCreatePairsOff[bool] = False
    """Sample actions instead of taking the policy's mode."""
    device: str = "cpu"
    """cpu, cuda or cuda:1."""


@dataclass(frozen=True)
class Plot:
    """Draw return, cost with its limit, and multiplier against environment steps, for every run in or below DIRs."""

    directories: Annotated[Positional[tuple[Path, ...]], arg(metavar="DIR...")]
    """Run directories: seeds of one algorithm and task are drawn as mean and interval."""
    kind: Literal["curves", "columns", "bars"] = "curves"
    """curves: a row per task; columns: a column per task; bars: what finished runs came to, a column per task."""
    out: Annotated[Path | None, option("FILE", "KIND.png")] = None
    """The image; its ending says which kind (png, pdf, svg)."""


@dataclass(frozen=True)
class Report:
    """Tell what all finished runs in or below DIRs came to, over seeds and over tasks, beside published numbers.

    Prints tables, and writes them as report.md, report.tex, report.csv, over_tasks.csv and improvement.csv.
    """

    directories: Annotated[Positional[tuple[Path, ...]], arg(metavar="DIR...")]
    """Run directories: seeds of one algorithm, task and settings make one line."""
    out: Path = Path("report")
    """The folder to write to."""
    epochs: Annotated[int | None, option("N")] = None
    """Count the training episodes of the last N epochs instead of the newest deterministic evaluation."""
    risk_level: Annotated[float | None, option("LEVEL", "each run's own")] = None
    """Of the CVaR of costs, in (0, 1]."""
    unfinished: FlagCreatePairsOff[bool] = False
    """Count runs that are not finished too; their line says how many."""
    all_published: FlagCreatePairsOff[bool] = False
    """Show every algorithm that is published on these tasks, not only those that ran."""


@dataclass(frozen=True)
class Sweep:
    """Train every cell of a grid of algorithms, tasks, variants and seeds that FILE names.

    Started again it skips what is finished and goes on with the rest. `pyslsac list sweeps` names those of the paper.
    """

    file: Annotated[Positional[str], arg(metavar="FILE")]
    """A YAML file, or one of the paper's sweeps, such as table1."""
    engine: Literal["local", "ray"] = "local"
    """Processes on this machine, or a Ray cluster: that of RAY_ADDRESS, or this machine's."""
    jobs: Annotated[int | None, option("N", "1; with Ray, as many as there is room for")] = None
    """Cells that train at a time; they share the cores."""
    out: Annotated[Path | None, option("DIR", "runs/FILE")] = None
    """The folder of all runs, in place of the file's own."""
    dry_run: FlagCreatePairsOff[bool] = False
    """Check everything and show the cells, but train nothing."""


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, on what each op runs, and which environments load.

    Exits 1 when an op runs on its slow reference on a device that the compiled core was built for.
    """

    tasks: tuple[str, ...] = ()
    """Tasks to try, instead of one of each kind."""


@dataclass(frozen=True)
class Bench:
    """Time the ops against their rivals in torch, and against what the device moves and multiplies at most.

    Without names all ops are timed. Run it on an otherwise idle machine.
    """

    ops: Annotated[Positional[tuple[str, ...]], arg(metavar="[OP ...]")] = ()
    """Ops, such as asgld."""
    device: str = "cpu"
    """cpu, cuda or cuda:1."""
    threads: Annotated[int | None, option("N", "one a core")] = None
    """CPU threads."""
    quick: FlagCreatePairsOff[bool] = False
    """Small sizes and few rounds: does it run?"""
    out: Annotated[Path | None, option("FILE.json")] = None
    """Keep the results: in a file, or in a folder under the device's name; those of other ops in it stay."""


@dataclass(frozen=True)
class List:
    """Name the algorithms, the tasks, the logged metrics, or the paper's sweeps."""

    what: Annotated[
        Positional[Literal["algos", "tasks", "metrics", "sweeps"]], arg(metavar="{algos,tasks,metrics,sweeps}")
    ]


COMMANDS: Any = (
    Annotated[Train, subcommand("train", prefix_name=False)]
    | Annotated[Eval, subcommand("eval", prefix_name=False)]
    | Annotated[Plot, subcommand("plot", prefix_name=False)]
    | Annotated[Report, subcommand("report", prefix_name=False)]
    | Annotated[Sweep, subcommand("sweep", prefix_name=False)]
    | Annotated[Doctor, subcommand("doctor", prefix_name=False)]
    | Annotated[Bench, subcommand("bench", prefix_name=False)]
    | Annotated[List, subcommand("list", prefix_name=False)]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (tyro leaves with SystemExit: 0 after --help, 2 on bad usage)."""
    args = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        if args[:1] == ["train"]:
            return train(*parse_train(args[1:]))
        command = tyro.cli(COMMANDS, args=args, prog="pyslsac", description=DESCRIPTION)
        commands: dict[Any, Callable[[Any], int]] = {Eval: evaluate, Plot: plot, Report: report, Doctor: doctor}
        commands |= {Sweep: sweep, Bench: bench, List: name_all}
        return commands[type(command)](command)
    except (ValueError, ModuleNotFoundError) as error:
        return fail(error, 2)
    except KeyboardInterrupt as error:
        return fail(error, 128 + getattr(error, "signum", 2))
    except BrokenPipeError:  # `pyslsac list tasks | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return fail(error, 1)
    except RuntimeError as error:
        if not type(error).__module__.startswith("pyslsac"):
            raise  # a defect: its traceback is the message
        return fail(error, 1)


def fail(error: BaseException, code: int) -> int:
    """Say on stderr what went wrong; returns `code`."""
    print(f"pyslsac: {error or 'interrupted'}", file=sys.stderr)
    return code


def parse_train(args: Sequence[str]) -> tuple[Train, dict[str, Any]]:
    """The options of `train`, and those of the agent's fields that differ from the preset.

    The command line is read twice: to learn algorithm, task and preset, and then with that preset's values as the
    agent's defaults. What a YAML file holds counts as options written before the others.
    """
    if set(args) <= {"-h", "--help"}:
        return tyro.cli(Train, args=args or ["--help"], prog="pyslsac train"), {}
    scan = argparse.ArgumentParser("pyslsac train", add_help=False, allow_abbrev=False)
    scan.add_argument("--config")
    config = scan.parse_known_args(args)[0].config
    file = read_options(Path(config)) if config else {}
    count = next((i for i, word in enumerate(args) if word.startswith("-")), len(args))  # of leading ALGO and TASK
    named = [str(file.get(name, "")) for name in ("algo", "task")]
    leading = [*args[:count], *(named[count:] if any(named) else [])]
    words = [*leading, *as_words(file), *args[count:]]

    from pyslsac.agents import AGENTS, config_for

    algo = leading[0] if leading else next((word for word in words if word in AGENTS), "")
    if not algo:
        plain = tyro.cli(Train, args=words, prog="pyslsac train")
        return dataclasses.replace(plain, env=file.get("env")), {}
    options: Any = None
    base = config_for(algo)
    for _ in range(2):
        options = tyro.cli(with_agent(base), args=words, prog="pyslsac train")
        if options.algo != algo:
            raise ValueError(f"write the algorithm and the task first: pyslsac train {options.algo} {options.task} ...")
        base = config_for(algo, options.preset, options.task)
    chosen = {name: value for name, value in vars(options.agent).items() if value != getattr(base, name)}
    return dataclasses.replace(options, env=file.get("env")), chosen


def with_agent(config: Any) -> Any:
    """`Train` with one option more for each of the agent's fields, --agent.FIELD, whose defaults are in `config`."""
    spelled_out: Any = FlagConversionOff  # --agent.FIELD True, as every other field has a value
    agent = ("agent", spelled_out[type(config)], dataclasses.field(default=config))
    doc = {"__doc__": Train.__doc__}
    return dataclasses.make_dataclass("Train", [agent], bases=(Train,), namespace=doc, frozen=True)


def read_options(path: Path) -> dict[str, Any]:
    """What a YAML file of options holds; ValueError for what is not one, or names an option that does not exist."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"--config: {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"--config: {path} is not YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"--config: {path} holds no options; write one a line, such as num_envs: 4")
    options = dict(content)
    if options.get("seed") in (options.get("seeds") or ()):
        del options["seed"]  # a run's config.yaml says there to which of its seeds it belongs
    names = [field.name for field in dataclasses.fields(Train) if field.name != "config"] + ["agent"]
    for name in options:
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"
            raise ValueError(f"--config: {path}: there is no option {name!r}{hint}")
    for name in ("agent", "env"):
        if not isinstance(options.get(name) or {}, Mapping):
            raise ValueError(f"--config: {path}: {name} is {options[name]!r}, wanted names and values below it")
    return options


def as_words(options: Mapping[str, Any], prefix: str = "--") -> list[str]:
    """The options of a YAML file as they are written on the command line."""
    words: list[str] = []
    for name, value in options.items():
        flag = prefix + str(name).replace("_", "-")
        if name == "agent":
            words += as_words(value or {}, "--agent.")
        elif prefix == "--" and (name in ("algo", "task", "env") or value is None or value is False):
            continue
        elif prefix == "--" and value is True:
            words += [flag]
        elif isinstance(value, list):
            words += [flag, *map(str, value)]
        else:
            words += [f"{flag}={value}"]
    return words


def train(options: Train, agent: Mapping[str, Any]) -> int:
    """Train, and say how it ended; 1 where a run failed."""
    if options.resume is None and not (options.algo and options.task):
        raise ValueError("train needs ALGO and TASK, as in: pyslsac train sl-sac SafetyPointGoal1-v0; or --resume DIR")

    from pyslsac.train.run import train as run

    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(Train)}
    del given["config"]
    given |= {"algo": options.algo or None, "task": options.task or None, "agent": agent or None}
    if options.resume is None and options.steps is None:
        given["steps"] = STEPS
    result = run(**given)
    if not options.quiet:
        print_result(result)
    for seed in result.seeds:
        if seed.status == "failed":
            print(f"pyslsac: seed {seed.seed} failed: {seed.failure}", file=sys.stderr)
    return int(any(seed.status == "failed" for seed in result.seeds))


def print_result(result: TrainResult) -> None:
    """Print the last evaluation of every run, what the constraint did in training, and what to do next."""
    from pyslsac.plots import find_runs

    evaluated = {seed.out: seed.evaluation for seed in result.seeds if seed.evaluation}
    if evaluated:
        print_evaluations(evaluated, "Final evaluation")
    for seed in result.seeds:
        for run in find_runs([seed.out]):
            print(f"{seed.out}: {run.constraint()}")
    print(f"Draw it: pyslsac plot {result.out} --out {result.out / 'curves.png'}")


def evaluate(command: Eval) -> int:
    """Evaluate every seed in or below a directory with its newest checkpoint."""
    from pyslsac.train.policy import evaluate_run

    if command.episodes < 1:
        raise ValueError(f"--episodes: got {command.episodes}, wanted at least 1")
    folders = sorted({path.parent for path in command.directory.rglob("config.yaml")})
    if not folders:
        raise ValueError(f"no run in or below {command.directory}: give the directory that `pyslsac train` wrote")
    done = {}
    for folder in folders:
        done[folder] = evaluate_run(folder, command.episodes, not command.stochastic, command.device)
    print_evaluations(done, "Stochastic evaluation" if command.stochastic else "Deterministic evaluation")
    return 0


def print_evaluations(evaluations: Mapping[Path, Mapping[str, Any]], title: str) -> None:
    """Print a table of evaluations as in eval.json, one line a run."""
    from pyslsac.train.settings import read_settings

    table = Table(title=title, title_justify="left")
    for name in ("run", "steps", "episodes", "", "mean", "std", "std. error", "CVaR (level)", "over limit"):
        table.add_column(name, justify="left" if name in ("run", "") else "right")
    for folder, evaluation in evaluations.items():
        reward, cost = (
            [f"{evaluation[what][moment]:.2f}" for moment in ("mean", "std", "stderr")] for what in ("return", "cost")
        )
        limit = read_settings(folder).agent["cost_limit"]
        over = sum(episode["cost"] > limit for episode in evaluation["episodes"]) / evaluation["count"]
        tail = "{cvar:.2f} ({risk_level:g})".format_map(evaluation["cost"])
        table.add_row(str(folder), f"{evaluation['env_steps']:,}", str(evaluation["count"]), "return", *reward)
        table.add_row("", "", "", "cost", *cost, tail, f"{over:.0%} ({limit:g})")
    console().print(table)


def plot(command: Plot) -> int:
    """Draw curves, and say in words what each run's constraint did; or bars."""
    from pyslsac.plots import find_runs, gather, plot_bars, plot_curves, without_repeats

    if not command.directories:
        raise ValueError("plot needs one DIR or more: the directories that `pyslsac train` wrote")
    out = command.out or Path(f"{command.kind}.png")
    if command.kind == "bars":
        gathered = gather(command.directories)
        left_out, said = list(gathered.left_out), []
        plot_bars(gathered.groups, out)
    else:
        runs, left_out = without_repeats(find_runs(command.directories))
        said = [f"{run.directory}: {run.constraint()}" for run in runs]
        plot_curves(runs, out, columns=command.kind == "columns")
    said += [f"{folder} is not drawn: {reason}" for folder, reason in left_out]
    print(*said, f"wrote {out}", sep="\n")
    return 0


def report(command: Report) -> int:
    """Print the tables, and write them."""
    from pyslsac.plots import gather, make_report

    if not command.directories:
        raise ValueError("report needs one DIR or more: the directories that `pyslsac train` wrote")
    options: Any = dict(epochs=command.epochs, risk_level=command.risk_level, unfinished=command.unfinished)
    gathered = gather(command.directories, **options)
    made = make_report(gathered, epochs=command.epochs, all_published=command.all_published)
    for table in made.tables():
        console().print(table.rich())
    print(*made.notes, sep="\n")
    for path in made.write(command.out):
        print(f"wrote {path}")
    return 0


def sweep(command: Sweep) -> int:
    """Run a sweep; 1 where a cell failed."""
    from pyslsac.experiments.sweep import sweep as run

    options: Any = dict(engine=command.engine, jobs=command.jobs, out=command.out, dry_run=command.dry_run)
    return run(command.file, **options, console=console())


def doctor(command: Doctor) -> int:
    """Print the diagnosis; 1 where the core was built for a device and an op does not run on it there."""
    from pyslsac.experiments.doctor import PROBES, diagnose

    diagnosis = diagnose(command.tasks or PROBES)
    for table in diagnosis.tables():
        console().print(table)
    for fault in diagnosis.faults:
        print(f"pyslsac: {fault}", file=sys.stderr)
    return int(bool(diagnosis.faults))


def bench(command: Bench) -> int:
    """Time ops, a table a case."""
    from pyslsac.experiments.bench import cases_of, run, table

    options: Any = dict(threads=command.threads, quick=command.quick, out=command.out)
    for name, result in run(cases_of(command.ops), command.device, **options):
        console().print(table(name, result))
    return 0


def name_all(command: List) -> int:
    """Print names, one a line, with what they mean."""
    names = {"algos": algorithms, "tasks": tasks, "metrics": metrics, "sweeps": sweeps}
    for name, meaning in names[command.what]():
        print(f"{name:<32} {meaning}".rstrip())
    return 0


def algorithms() -> Iterator[tuple[str, str]]:
    """Every algorithm, and the first line of its docstring."""
    from pyslsac.agents import AGENTS

    for name, (agent, _) in AGENTS.items():
        yield name, (agent.__doc__ or "").strip().split("\n")[0]


def tasks() -> Iterator[tuple[str, str]]:
    """Every task that can be named here, and the backend it comes from."""
    from pyslsac.envs import list_tasks

    for listing in list_tasks():
        yield from ((task, listing.backend) for task in listing.tasks)
        if listing.problem:
            print(f"pyslsac: no tasks from {listing.backend}: {listing.problem}", file=sys.stderr)


def metrics() -> Iterator[tuple[str, str]]:
    """Every column of progress.csv, and what it means."""
    from pyslsac.train.log import COLUMNS

    yield from COLUMNS.items()


def sweeps() -> Iterator[tuple[str, str]]:
    """Every experiment of the paper that comes as a sweep, and what it compares."""
    from pyslsac.experiments.sweep import paper_sweeps

    yield from paper_sweeps().items()


def console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough for them where there is none."""
    return Console(width=None if sys.stdout.isatty() else 200)
