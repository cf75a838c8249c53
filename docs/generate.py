"""Writes every generated block of the README and the docs: tables of what the code and the measurements say.

A block stands between `<!-- generated: NAME ARGUMENT... -->` and `<!-- end -->`; its content is made anew from the
configs, the log's columns, `bench/results/` and the kept runs. `python docs/generate.py --check` changes nothing and
exits 1 when a block is not what it would write.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pyslsac import agents
from pyslsac.envs.native import tasks as native_tasks
from pyslsac.envs.native.velocity import Velocity
from pyslsac.plots import gather, make_report
from pyslsac.train.log import COLUMNS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
HEADLINES = {  # bench: part of the names of the cases that the README shows
    "update": "HalfCheetah",
    "asgld": " 1,000,000 ",
    "adam": "144,386 parameters",
    "perceptron": "2 networks",
    "reverse_chain": "batch 256",
    "estep_dual": "256 states",
    "quantile_huber": "256 x 32 x 32",
    "implicit_quantiles": "256 states x 32 quantiles",
    "langevin_chain": "critics 3 x 256",
    "langevin_step": "[4, 256, 6]",
    "tanh_normal": "256 x 6",
    "philox_normal": " 1,000,000 ",
    "philox_integers": "1 x 256",
}
MULTIPLIER, LOSS = "Metrics/LagrangeMultiplier", "Loss/Loss_reward_critic"
BLOCK = re.compile(r"(<!-- generated: (?P<words>[^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a cell's bars are escaped. Headings that end in ':' are right-aligned."""
    ruler = ["--:" if name.endswith(":") else "---" for name in header]
    lines = [
        [name.removesuffix(":") for name in header],
        ruler,
        *[[str(c).replace("|", "\\|") for c in r] for r in rows],
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def config(algorithm: str) -> str:
    """Every field of the algorithm's config with its default and the comment beside it in the source."""
    config_class = agents.AGENTS[algorithm][1]
    comments: dict[str, str] = {}
    for base in reversed(config_class.__mro__[:-1]):
        for line in inspect.getsource(base).splitlines():
            if match := re.match(r"    (\w+): .* = .*?  # (.*)", line):
                comments[match[1]] = match[2]
    fields = dataclasses.fields(config_class)
    rows = ((f"`{f.name}`", f"`{f.default!r}`", f"`{f.type}`", comments[f.name]) for f in fields)
    return table(("field", "default", "type", "meaning"), rows)


def presets(algorithm: str) -> str:
    """What each preset changes of the defaults, for a velocity task."""
    changes = agents.PRESETS[algorithm]("SafetyHalfCheetahVelocity-v1")
    rows = ((f"`{name}`", ", ".join(f"`{k}={v!r}`" for k, v in c.items()) or "nothing") for name, c in changes.items())
    return table(("preset", "changes of the defaults (on a velocity task)"), rows)


def metrics(algorithm: str | None = None) -> str:
    """The log's columns with their meanings: an algorithm's own, as its docstring lists them, or all."""
    names = list(COLUMNS)
    if algorithm is not None:
        text = inspect.getmodule(agents.AGENTS[algorithm][0]).__doc__ or ""
        logged = re.findall(r"[A-Z]\w+/\w+", text.partition("Logged:")[2])
        names = sorted(logged, key=list(COLUMNS).index)
    return table(("column", "meaning"), ((f"`{name}`", COLUMNS[name]) for name in names))


def algorithms() -> str:
    """One row an algorithm, from the first line of its file."""
    rows = []
    for name, (agent, _) in agents.AGENTS.items():
        module = inspect.getmodule(agent)
        summary = (module.__doc__ or "").splitlines()[0].rstrip(".")
        stem = Path(module.__file__).stem
        rows.append((f"[`{name}`](docs/{stem}.md)", summary, f"[{stem}.py](pyslsac/agents/{stem}.py)"))
    return table(("name", "algorithm", "file"), rows)


def interval(values: Mapping[str, float], digits: int) -> str:
    return f"{values['median']:,.{digits}f} ({values['q1']:,.{digits}f}-{values['q3']:,.{digits}f})"


def bench_rows(cases: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row a case: its name, our time, its place under the roofline, how many times as long each rival takes."""
    for case, result in cases.items():
        ours = next(iter(result["us"]))
        rivals = "<br>".join(f"{name}: {interval(ratio, 2)}" for name, ratio in result["ratio"].items())
        yield case, interval(result["us"][ours], 1), share(result), rivals


def share(result: Mapping[str, Any]) -> str:
    """Which part of what the device can do our time is, and of what; "" where that was not measured."""
    bound = result.get("roofline")
    return f"{bound['fraction']:.0%} of {bound['bound']}" if bound else ""


def bench_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A `table` of benches: a column that is empty from top to bottom is left out, in others a dash fills the gaps."""
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return table([header[i] for i in kept], ([row[i] or "-" for i in kept] for row in rows))


def conditions(bench: Mapping[str, Any]) -> str:
    """On what a bench's numbers depend."""
    names = ("torch", "cuda", "driver", "threads", "capability", "commit", "date")
    text = ", ".join(f"{name} {bench[name]}" for name in names if name in bench)
    units = {"copy": "copy {:,.4g} GB/s", "fp32": "fp32 GEMM {:,.4g} GFLOP/s", "bf16": "bf16 GEMM {:,.4g} GFLOP/s"}
    rates = ", ".join(units[name].format(rate) for name, rate in bench.get("ceilings", {}).items())
    return f"{text}; ceilings: {rates}" if rates else text


def devices() -> Iterator[dict[str, Any]]:
    """What was measured on each device, in the order of their names."""
    for path in sorted(RESULTS.glob("*.json")):
        yield json.loads(path.read_text("utf-8"))


def benches() -> str:
    """Every case of every bench on every device."""
    text = ""
    for measured in devices():
        text += f"## {measured['device']}\n\n"
        for name, bench in measured["benches"].items():
            text += f"### {name}\n\n{conditions(bench)}\n\n"
            header = "case", "ours, µs:", "roofline:", "times as long"
            text += bench_table(header, list(bench_rows(bench["cases"]))) + "\n"
    return text


def measured() -> str:
    """The cases of `HEADLINES` on every device, medians alone."""
    text = ""
    for results in devices():
        rows = []
        for name, headline in HEADLINES.items():
            for case, result in results["benches"].get(name, {"cases": {}})["cases"].items():
                if headline in f" {case} ":
                    ours = next(iter(result["us"].values()))
                    rivals = "<br>".join(f"{rival}: {ratio['median']:.2f}" for rival, ratio in result["ratio"].items())
                    rows.append((f"`{name}`", case, f"{ours['median']:,.0f}", share(result), rivals))
        header = "bench", "case", "ours, µs:", "roofline:", "times as long"
        text += f"**{results['device']}**\n\n{bench_table(header, rows)}\n" if rows else ""
    return text


def runs(root: str, *names: str) -> str:
    """Kept training runs, all or those in folders of these names: curves, last evaluation, what the constraint did.

    root: the way from the page to the repository's root, "." or "..".
    """
    prefix = "" if root == "." else f"{root}/"
    pictures = [path for path in sorted(RESULTS.rglob("*.png")) if not names or path.parent.name in names]
    curves = "".join(
        f"![Learning curves of {path.parent.name}]({prefix}{path.relative_to(ROOT)})\n\n" for path in pictures
    )
    rows = []
    for folder, settings, log in kept_runs():
        if names and folder.parent.name not in names:
            continue
        evaluation = last_evaluation(folder)
        rewards, costs = (f"{evaluation[k]['mean']:,.1f} ± {evaluation[k]['std']:,.1f}" for k in ("return", "cost"))
        multiplier = max((float(row.get(MULTIPLIER) or 0) for row in log if MULTIPLIER in row), default=None)
        over = f"{float(log[-1]['Metrics/EpisodesOverLimit']):,.0f} of {float(log[-1]['Metrics/Episodes']):,.0f}"
        link = f"[{settings['task']}]({prefix}bench/results/{folder.relative_to(RESULTS)}/progress.csv)"
        steps, limit = f"{evaluation['env_steps']:,}", f"{settings['agent']['cost_limit']:g}"
        rounded = settings["agent"].get("precision", "fp32") != "fp32"
        name = f"`{settings['algo']}`, `{settings['preset'] or 'paper'}`" + ", `bf16`" * rounded
        largest = "-" if multiplier is None else f"{multiplier:.3g}"
        rows.append((link, name, settings["seed"], steps, evaluation["count"], rewards, costs, limit, largest, over))
    header = ("task", "agent, preset", "seed:", "steps:", "evaluation episodes:", "return:", "cost:", "limit:")
    header += ("largest multiplier:", "training episodes over the limit:")
    return curves + (table(header, rows) if rows else "")


def last_evaluation(folder: Path) -> dict[str, Any]:
    evaluation: dict[str, Any] = json.loads((folder / "eval.json").read_text("utf-8"))["evaluations"][-1]
    return evaluation


def learnt(task: str, steps: str) -> str:
    """The kept runs of `step` of so many steps on a task: what was learnt, beside random actions and SL-SAC by then.

    The critics' loss is that of the first epoch with updates and of the last. Training returns and costs are means of
    the ten episodes before that step.
    """
    rows = []
    for folder, settings, log in kept_runs():
        step = settings["preset"] == "step" and settings["steps"] == int(steps)
        if settings["task"] != task or not (step or folder.parent.name == "half_cheetah"):
            continue
        seen = [row for row in log if float(row["TotalEnvSteps"]) <= int(steps)]
        losses = [float(row[LOSS]) for row in seen if row.get(LOSS)]
        evaluation = last_evaluation(folder)
        played = (f"{evaluation[k]['mean']:,.1f} ± {evaluation[k]['std']:,.1f}" for k in ("return", "cost"))
        means = (f"{float(seen[-1][name]):,.1f}" for name in ("Metrics/EpRet", "Metrics/EpCost"))
        link = f"[`{settings['algo']}`](../bench/results/{folder.relative_to(RESULTS)}/progress.csv)"
        last = f"{float(seen[-1]['TotalEnvSteps']):,.0f}"
        rows.append((link, last, *means, *(played if step else "--"), f"{losses[0]:,.3g}", f"{losses[-1]:,.3g}"))
    chance = json.loads((RESULTS / "random" / f"{task}.json").read_text("utf-8"))
    random = (f"{chance[name]['mean']:,.1f} ± {chance[name]['half_interval']:,.1f}" for name in ("return", "cost"))
    header = ("agent", "steps:", "training return:", "training cost:", "evaluated return:", "evaluated cost:")
    header += ("critics' first loss:", "last loss:")
    return table(header, [*rows, ("random actions, 95 % interval", "-", "-", "-", *random, "-", "-")])


def compared(last: str, *names: str) -> str:
    """Training returns of two kept sets of seeds over their last so many steps, and how far apart the means are."""
    rows, sets = [], []
    for name in names:
        returns = []
        for folder, settings, log in kept_runs():
            if folder.parent.name == name:
                late = [row for row in log if float(row["TotalEnvSteps"]) > settings["steps"] - int(last)]
                late = [row for row in late if float(row["Epoch/Episodes"])]
                means, counts = ([float(row[f"Epoch/{part}"]) for row in late] for part in ("EpRet", "Episodes"))
                returns.append(np.average(means, weights=counts))
        sets.append(np.array(returns))
        together = f"{np.mean(returns):,.0f} ± {np.std(returns, ddof=1):,.0f}"
        rows.append((f"`{name}`", *(f"{value:,.0f}" for value in returns), together))
    one, other = sets
    pooled, difference = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2), abs(one.mean() - other.mean())
    header = ("runs", *(f"seed {seed}:" for seed in range(len(one))), "mean ± standard deviation:")
    text = f"The means are {difference:,.0f} apart, the pooled standard deviation is {pooled:,.0f}."
    return f"{table(header, rows)}\n{text}\n"


def report() -> str:
    """What `pyslsac report bench/results` writes, as a part of a page."""
    text = make_report(gather([RESULTS])).markdown().removeprefix("# Report\n\n")
    return text.replace("\n## ", "\n### ").replace(f"{RESULTS}/", "")


def kept_runs() -> Iterator[tuple[Path, dict[str, Any], list[dict[str, str]]]]:
    """(folder, settings, rows of the log) of every kept training run."""
    for path in sorted(RESULTS.rglob("config.yaml")):
        with (path.parent / "progress.csv").open(newline="") as file:
            yield path.parent, yaml.safe_load(path.read_text("utf-8")), list(csv.DictReader(file))


def split() -> str:
    """Where the time of the kept runs on native environments went, evaluations and logs left out."""
    rows = []
    for folder, settings, log in kept_runs():
        if settings["env"].get("backend") != "native":
            continue
        names = ("Time/Act", "Time/Update", "Time/Wait", "Time/Store")
        seconds = [sum(float(row[name] or 0) for row in log) for name in names]
        shares = (f"{second / sum(seconds):.1%}" for second in seconds)
        link = f"[{settings['task']}](../bench/results/{folder.relative_to(RESULTS)}/progress.csv)"
        updates = f"{float(log[-1]['Train/Updates']) / sum(seconds):,.0f}"
        rows.append((link, settings["num_envs"], settings["threads"], updates, *shares))
    return table(
        ("run", "num_envs:", "threads:", "updates/s:", "act:", "update:", "wait for environments:", "store:"), rows
    )


def tasks() -> str:
    """Every native task: sizes, horizon, and what it costs for."""
    rows = []
    for name, steps in native_tasks.STEPS.items():
        fleet = native_tasks.make(name, 1)
        sizes = fleet.obs_low.size, fleet.act_low.size, steps
        rows.append((name, *sizes, "when unhealthy" if ends(fleet) else "never", ", or ".join(costs(fleet)) or "never"))
    return table(("task", "observations:", "actions:", "steps:", "terminates", "a step costs 1"), rows)


def ends(fleet: Any) -> bool:
    return isinstance(fleet, Velocity) and fleet.walker.healthy is not None


def costs(fleet: Any) -> Iterator[str]:
    """What a fleet's task costs for, in words."""
    if isinstance(fleet, Velocity):
        yield f"above a {'speed' if fleet.walker.planar else 'forward speed'} of {fleet.walker.limit} m/s"
        return
    for thing in fleet.world.things:
        if thing.name == "hazard":
            yield f"in one of {thing.count} hazards"
        if thing.name == "sigwall":
            yield f"beyond {' or '.join(f'|{axis}| = {thing.places[0][0]} m' for axis in 'xy'[: thing.count // 2])}"
        if thing.name in fleet.level.costly:
            yield f"touching one of {thing.count} {thing.name}s"
        if thing.name == "vase" and thing.name in fleet.level.costly:
            yield "while a vase moves"
        if thing.name == "button" and fleet.game.strict:
            yield "touching a wrong button"


def versions() -> str:
    """Which of gymnasium's models each MuJoCo reads."""
    answers = json.loads((RESULTS / "versions" / "model_versions.json").read_text("utf-8"))["mujoco"]
    gymnasiums = list(next(iter(answers.values())))
    rows = []
    for mujoco, by_gymnasium in answers.items():
        missing = [[name for name, answer in by_gymnasium[g].items() if answer != "ok"] for g in gymnasiums]
        rows.append((mujoco, *(f"all but {', '.join(names)}" if names else "all" for names in missing)))
    return table(("MuJoCo", *(f"gymnasium {version}" for version in gymnasiums)), rows)


def physics() -> str:
    """What fixed policies return and cost on MuJoCo 2.3.3, and how far other versions are from that."""
    files = [json.loads(path.read_text("utf-8")) for path in (RESULTS / "physics").glob("*.json")]
    first, *others = sorted(files, key=lambda file: [int(part) for part in file["versions"]["mujoco"].split(".")])
    header = ["task", "policy", "", f"{first['versions']['mujoco']}:"]
    rows = []
    for task, by_policy in first["tasks"].items():
        for policy, part in by_policy.items():
            for what in ("return", "cost"):
                there = [file["tasks"][task][policy][what] for file in others]
                changes = (apart(part[what]["episodes"], one["episodes"]) for one in there)
                rows.append((task, policy, what, within(part[what]), *changes))
    return table((*header, *(f"{file['versions']['mujoco']}:" for file in others)), rows)


def within(part: Any) -> str:
    return f"{part['mean']:,.4g} ({part['low']:,.4g} to {part['high']:,.4g})"


def apart(first: Any, other: Any) -> str:
    """The mean difference, episode by episode, with its 95 % bootstrap interval."""
    difference = np.subtract(other, first)
    if not difference.any():
        return "equal"
    chosen = np.random.default_rng(0).integers(difference.size, size=(10_000, difference.size))
    low, high = np.quantile(difference[chosen].mean(axis=1), (0.025, 0.975))
    return f"{difference.mean():+,.3g} ({low:+,.3g} to {high:+,.3g})"


def speed() -> str:
    """Steps of one environment in a second of each task, what share of bare physics that is, and the release's."""
    text, header = "", ("task", "ours:", "bare physics:", "share:", "release")
    for measured in devices():
        cases = measured["benches"].get("envs", {"cases": {}})["cases"]
        rows = []
        for case, result in cases.items():
            section, _, rest = case.partition(": ")
            if section == "physics":
                release = cases.get(f"release: {rest}", {"us": {}})["us"]
                theirs = [f"{name}: {1e6 / us['median']:,.0f}" for name, us in release.items() if name != "make_vec"]
                rates = (f"{1e6 / us['median']:,.0f}" for us in result["us"].values())
                rows.append((rest, *rates, f"{result['ratio']['bare physics']['median']:.0%}", "<br>".join(theirs)))
        if rows:
            columns = len(header) if any(row[-1] for row in rows) else len(header) - 1
            text += f"**{measured['device']}**\n\n" + table(header[:columns], (row[:columns] for row in rows))
    return text


def memory() -> str:
    """How much memory the watched trainings kept, after the first tenth of their steps."""
    rows = []
    for path in sorted((RESULTS / "memory").glob("*.json")):
        kept = json.loads(path.read_text("utf-8"))
        sizes = {int(steps): size for steps, size in kept["MiB"].items()}
        later = [size for steps, size in sizes.items() if steps > max(sizes) / 10]
        rows.append((f"`{path.stem}`", f"{max(sizes):,}", f"{min(later):,.0f}", f"{max(later):,.0f}", conditions(kept)))
    return table(("algorithm", "steps:", "least MiB:", "most MiB:", "with"), rows)


GENERATORS: dict[str, Callable[..., str]] = {
    "algorithms": algorithms,
    "benches": benches,
    "compared": compared,
    "config": config,
    "learnt": learnt,
    "measured": measured,
    "memory": memory,
    "metrics": metrics,
    "physics": physics,
    "presets": presets,
    "report": report,
    "runs": runs,
    "speed": speed,
    "split": split,
    "tasks": tasks,
    "versions": versions,
}


def fill(text: str) -> str:
    """The page with every block made anew."""

    def block(match: re.Match[str]) -> str:
        name, *arguments = match["words"].split()
        return f"{match[1]}{GENERATORS[name](*arguments)}{match[3]}"

    return BLOCK.sub(block, text)


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is out of date")
    check = parser.parse_args(argv).check
    stale = [page for page in pages() if fill(page.read_text("utf-8")) != page.read_text("utf-8")]
    for page in stale:
        print(f"{'out of date' if check else 'written'}: {page.relative_to(ROOT)}")
        if not check:
            page.write_text(fill(page.read_text("utf-8")), encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
