"""The report: what runs came to, task by task beside published numbers, over tasks, and against each other."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyslsac.plots.references import LIMIT, Published, Scale, published, scale_of
from pyslsac.plots.results import QUANTITIES, Gathered, Group
from pyslsac.plots.statistics import Estimate, improvement, iqm_over, limit_first, mean_over
from pyslsac.plots.tables import Table, between, number, share, spread

HERE = "here"  # the source of our own numbers
NOTES = (
    "± is the standard error over seeds; for published numbers it is what their source says.",
    "Intervals are 95 % bootstrap intervals over seeds: for one task BCa, or percentile where BCa is not defined, as "
    "with equal seeds; over tasks percentile, each task's seeds drawn among themselves.",
    f"Published numbers are for a cost limit of {LIMIT:g}.",
)


@dataclass(frozen=True)
class Overall:
    """One label over its tasks. `cost` is cost / limit, and None where a run has no limit."""

    label: str
    tasks: int
    iqm: Estimate
    mean: Estimate
    cost: Estimate | None
    over_limit: Estimate | None


@dataclass(frozen=True)
class Pair:
    """How probably a run of `label` is better than one of `than`; None where a run has no limit."""

    label: str
    than: str
    tasks: int
    higher_return: Estimate
    lower_cost: Estimate
    limit_first: Estimate | None


@dataclass(frozen=True)
class Report:
    """Groups with what is made of them; `episodes` says in words which ones were counted."""

    gathered: Gathered
    episodes: str
    published: tuple[Published, ...]
    scales: tuple[Scale, ...]
    overall: tuple[Overall, ...]
    pairs: tuple[Pair, ...]

    def tables(self) -> list[Table]:
        """Every table, those without rows left out."""
        tables = [self._task(task) for task in _tasks(self.gathered.groups)]
        tables += [self._over_tasks(), self._scales(), self._pairs(), self._left_out()]
        return [table for table in tables if table.rows]

    def _task(self, task: str) -> Table:
        rows = []
        for group in _of(self.gathered.groups, task):
            reward, cost, over, tail = (group.estimate(quantity) for quantity in QUANTITIES)
            assert reward and cost
            level = group.results[0].risk_level
            count, begun = len(group.results), sum(not result.finished for result in group.results)
            rows.append(
                (
                    *(group.label, HERE, f"{count} ({begun} unfinished)" if begun else str(count), _steps(group)),
                    *(spread(reward.value, reward.stderr), between(reward.low, reward.high)),
                    *(spread(cost.value, cost.stderr), between(cost.low, cost.high)),
                    *("" if group.cost_limit is None else f"{group.cost_limit:g}", share(over.value if over else None)),
                    f"{spread(tail.value, None)} ({level:g})" if tail else "",
                )
            )
        for row in self.published:
            if row.task == task:
                gained, spent = spread(row.return_mean, row.return_spread), spread(row.cost_mean, row.cost_spread)
                source = f"{row.source}; {row.spread_kind}"
                rows.append(
                    (row.algorithm, source, "", f"{row.env_steps:,}", gained, "", spent, "", f"{LIMIT:g}", "", "")
                )
        header = ("algorithm", "source", "seeds:", "steps:", "return:", "interval:", "cost:", "interval:", "limit:")
        return Table(task, (*header, "over limit:", "CVaR (level):"), rows)

    def _over_tasks(self) -> Table:
        rows = []
        every = len(self.scales)
        for one in self.overall:
            cost, over = one.cost, one.over_limit
            rows.append(
                (
                    *(one.label, f"{one.tasks} of {every}", str(one.iqm.count)),
                    *(number(one.iqm.value, 3), between(one.iqm.low, one.iqm.high, 3), number(one.mean.value, 3)),
                    *((number(cost.value, 3), between(cost.low, cost.high, 3)) if cost else ("", "")),
                    share(over.value if over else None),
                )
            )
        header = ("algorithm", "tasks:", "runs:", "IQM of return:", "interval:", "mean:", "IQM of cost / limit:")
        notes = ["Returns are normalised, see below. Compare only rows of the same tasks."]
        return Table("Over tasks", (*header, "interval:", "over limit:"), rows, notes)

    def _scales(self) -> Table:
        used = self.scales if self.overall else ()
        rows = [(s.task, spread(s.zero, None), s.zero_is, spread(s.one, None), s.one_is) for s in used]
        return Table("Normalised returns", ("task", "0 is:", "return of", "1 is:", "return of"), rows)

    def _pairs(self) -> Table:
        rows = []
        for pair in self.pairs:
            cells = [pair.label, pair.than, str(pair.tasks)]
            for estimate in (pair.higher_return, pair.lower_cost, pair.limit_first):
                cells += [number(estimate.value, 2), between(estimate.low, estimate.high, 2)] if estimate else ["", ""]
            rows.append(cells)
        header = ("algorithm", "better than", "tasks:", "higher return:", "interval:", "lower cost:", "interval:")
        notes = [
            "Mean over the tasks of both; ties count one half. Limit first: a run within its limit beats one over it; "
            "of two within, the higher return wins, of two over, the smaller excess."
        ]
        return Table("Probability of improvement", (*header, "limit first:", "interval:"), rows, notes)

    def _left_out(self) -> Table:
        rows = [(str(folder), reason) for folder, reason in self.gathered.left_out]
        return Table("Runs that do not count", ("run", "reason"), rows)

    @property
    def notes(self) -> tuple[str, ...]:
        """What its numbers are, a sentence or two each."""
        return (self.episodes, *NOTES)

    def markdown(self) -> str:
        notes = "".join(f"- {note}\n" for note in self.notes)
        return f"# Report\n\n{notes}\n" + "\n".join(table.markdown() for table in self.tables())

    def latex(self) -> str:
        comments = ("To be \\input; needs no package.", *self.notes)
        head = "".join(f"% {comment}\n" for comment in comments)
        return head + "\n" + "\n".join(table.latex() for table in self.tables())

    def csv(self) -> dict[str, str]:
        """The same numbers unrounded, as CSV files by name; report.csv has every column of published.csv, and more."""
        return {
            "report.csv": _csv(itertools.chain(map(_record, self.gathered.groups), map(_as_published, self.published))),
            "over_tasks.csv": _csv(
                {"algorithm": o.label, "tasks": o.tasks, "runs": o.iqm.count}
                | _fields("return_iqm", o.iqm)
                | _fields("return_mean", o.mean)
                | _fields("cost_iqm", o.cost)
                | _fields("over_limit", o.over_limit)
                for o in self.overall
            ),
            "improvement.csv": _csv(
                {"algorithm": p.label, "than": p.than, "tasks": p.tasks}
                | _fields("higher_return", p.higher_return)
                | _fields("lower_cost", p.lower_cost)
                | _fields("limit_first", p.limit_first)
                for p in self.pairs
            ),
        }

    def write(self, out: str | Path) -> list[Path]:
        """Write report.md, report.tex and the CSV files into the folder `out`; returns their paths."""
        files = {"report.md": self.markdown(), "report.tex": self.latex(), **self.csv()}
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
        return [out / name for name in files]


def make_report(gathered: Gathered, *, epochs: int | None = None, all_published: bool = False) -> Report:
    """The report of what was gathered, beside the published numbers of the same tasks and algorithms, or of all."""
    groups = gathered.groups
    have = {(group.task, group.algo) for group in groups}
    tasks, algos = _tasks(groups), sorted({group.label for group in groups})
    beside = tuple(p for p in published() if (p.task, p.algorithm) in have or (all_published and p.task in tasks))
    means = {task: [float(group.values("return").mean()) for group in _of(groups, task)] for task in tasks}
    scales = {task: scale for task in tasks if (scale := scale_of(task, means[task]))}
    overall = [_overall(label, [g for g in groups if g.label == label], scales) for label in algos]
    pairs = [_pair(*({g.task: g for g in groups if g.label == label} for label in two)) for two in _twos(algos)]
    last = f"of the last {epochs} epochs of training" if epochs else "of the newest deterministic evaluation"
    return Report(
        gathered,
        f"Return and cost are those of whole episodes {last}, a run's mean counting once.",
        beside,
        tuple(scales.values()),
        tuple(one for one in overall if one) if len(tasks) > 1 else (),
        tuple(pair for pair in pairs if pair),
    )


def _tasks(groups: Iterable[Group]) -> list[str]:
    return sorted({group.task for group in groups})


def _of(groups: Iterable[Group], task: str) -> list[Group]:
    return [group for group in groups if group.task == task]


def _twos(labels: Sequence[str]) -> Iterable[tuple[str, str]]:
    return itertools.combinations(labels, 2)


def _overall(label: str, groups: Sequence[Group], scales: Mapping[str, Scale]) -> Overall | None:
    """One label over those of its tasks that have a scale; None where none has."""
    scaled = [group for group in groups if group.task in scales]
    if not scaled:
        return None
    scores = [np.array([scales[g.task].normalised(x) for x in g.values("return")]) for g in scaled]
    limited = all(group.cost_limit for group in scaled)
    costs = [group.values("cost") / (group.cost_limit or 1.0) for group in scaled]
    over = [group.values("over_limit") for group in scaled]
    return Overall(
        label,
        len(scaled),
        iqm_over(scores),
        mean_over(scores),
        iqm_over(costs) if limited else None,
        mean_over(over) if all(map(len, over)) else None,
    )


def _pair(ours: Mapping[str, Group], theirs: Mapping[str, Group]) -> Pair | None:
    """One label against another on the tasks that both have; None where they share none."""
    both = [(ours[task], theirs[task]) for task in sorted(ours.keys() & theirs.keys())]
    if not both:
        return None
    returns = [[group.values("return") for group in side] for side in zip(*both, strict=True)]
    costs = [[-group.values("cost") for group in side] for side in zip(*both, strict=True)]
    ranks = [_limit_first(*two) for two in both if None not in (two[0].cost_limit, two[1].cost_limit)]
    (one, other) = both[0]
    return Pair(
        one.label,
        other.label,
        len(both),
        improvement(*returns),
        improvement(*costs),
        improvement(*zip(*ranks, strict=True)) if len(ranks) == len(both) else None,
    )


def _limit_first(one: Group, other: Group) -> tuple[np.ndarray, np.ndarray]:
    """The ranks of both groups' runs, among each other."""
    counts = [len(group.results) for group in (one, other)]
    returns, costs = (np.concatenate([g.values(name) for g in (one, other)]) for name in ("return", "cost"))
    ranks = limit_first(returns, costs, np.repeat([float(g.cost_limit or 0.0) for g in (one, other)], counts))
    return ranks[: counts[0]], ranks[counts[0] :]


def _steps(group: Group) -> str:
    """After how many steps the episodes were played: of all seeds the same, or from the fewest to the most."""
    steps = sorted({result.env_steps for result in group.results})
    return f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"


def _fields(name: str, estimate: Estimate | None) -> dict[str, object]:
    """An estimate's columns: its value, and the interval with its method."""
    e = estimate
    low, high, method = (e.low, e.high, e.method) if e else (None, None, "")
    return {name: e and e.value, f"{name}_low": low, f"{name}_high": high, f"{name}_interval": method}


def _record(group: Group) -> dict[str, object]:
    """A group's row of report.csv."""
    steps, count = [result.env_steps for result in group.results], len(group.results)
    row: dict[str, object] = {
        "task": group.task,
        "algorithm": group.label,
        "source": HERE,
        "env_steps": max(steps),
        "env_steps_min": min(steps),
        "seeds": count,
        "unfinished": sum(not result.finished for result in group.results),
        "episodes": sum(result.episodes for result in group.results),
        "cost_limit": group.cost_limit,
        "risk_level": group.results[0].risk_level,
        "spread_kind": f"standard error, {count} seeds" if count > 1 else "",
    }
    for quantity in QUANTITIES:
        estimate = group.estimate(quantity)
        row |= {f"{quantity}_spread": estimate and estimate.stderr} | _fields(f"{quantity}_mean", estimate)
    return row


def _as_published(row: Published) -> dict[str, object]:
    """A published row of report.csv."""
    return vars(row) | {"cost_limit": LIMIT}


def _csv(records: Iterable[Mapping[str, object]]) -> str:
    """Records as CSV, the columns those of all of them in order; None is an empty cell."""
    rows = list(records)
    header = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
