"""What a sweep's file says: its cells, which layer of options wins, and what is refused, by file and key."""

import pytest
import yaml

from pyslsac.experiments.grid import PAPER, SweepError, plan
from pyslsac.experiments.sweep import paper_sweeps
from pyslsac.train.run import train
from tests.experiments.toy_sweep import ROOT, TOY, write

BANDIT = "pyslsac/Bandit-v0"


def cells_of(tmp_path, **changes):
    return plan(str(write(tmp_path / "toy.yaml", **changes)), tmp_path / "out").cells


def test_a_cell_for_each_algorithm_task_variant_and_point_with_all_its_seeds(tmp_path):
    grid = {"agent.risk_level": [0.25, 1], "num_envs": [4]}
    variants = {"asgld": None, "adam": {"agent": {"reward_optimizer": "adam"}}}
    cells = cells_of(tmp_path, algos=["sl-sac"], agent={}, grid=grid, variants=variants)
    ends = [f"{v},risk_level={level},num_envs=4" for v in ("asgld", "adam") for level in (0.25, 1)]
    assert [cell.name for cell in cells] == [
        f"sl-sac/pyslsac-{t}-v0/{e}" for t in ("Bandit", "LinearQuadratic") for e in ends
    ]
    last = cells[-1]
    assert last.seeds == [0, 1] and last.steps == 240 and last.options["num_envs"] == 4
    assert last.options["agent"] == {"reward_optimizer": "adam", "risk_level": 1.0}
    assert last.out == tmp_path / "out" / last.name
    assert last.folders == [last.out / "seed-000", last.out / "seed-001"]


def test_the_nearer_layer_wins(tmp_path):
    changes = dict(
        algos={"sl-sac": {"agent": {"width": 2, "polyak": 0.2}, "num_envs": 2}},
        tasks={BANDIT: {"agent": {"width": 3, "gamma": 0.3}, "num_envs": 3}},
        variants={"v": {"agent": {"width": 4, "kappa": 0.4}, "eval_every": 4}},
        grid={"agent.width": [5]},
        agent={"width": 1, "polyak": 0.1, "gamma": 0.1, "kappa": 0.1, "cost_limit": 7},
        num_envs=1,
        eval_every=1,
    )
    (cell,) = cells_of(tmp_path, **changes)
    assert cell.options["agent"] == {"width": 5, "polyak": 0.2, "gamma": 0.3, "kappa": 0.4, "cost_limit": 7.0}
    assert (cell.options["num_envs"], cell.options["eval_every"]) == (3, 4)


def test_numbers_as_people_write_them(tmp_path):
    file = tmp_path / "toy.yaml"
    file.write_text(
        f"algos: [sl-sac]\ntasks: [{BANDIT}]\nsteps: 1e6\nagent: {{critic_lr: 3e-4, betas: [0.5, 0.9], clip: null}}"
    )
    (cell,) = plan(str(file)).cells
    assert cell.steps == 1_000_000 and isinstance(cell.steps, int) and cell.seeds == [0]
    assert cell.options["agent"] == {"critic_lr": 3e-4, "betas": (0.5, 0.9), "clip": None}
    assert cell.out.parts[-4:] == ("runs", "toy", "sl-sac", "pyslsac-Bandit-v0")


def test_on_policy_agents_take_a_cell_a_seed_and_so_do_others_when_asked(tmp_path):
    names = ["pyslsac-Bandit-v0/seed-000", "pyslsac-Bandit-v0/seed-001"]
    small = dict(tasks=[BANDIT], agent={})
    cells = cells_of(tmp_path, algos=["ppo-lag", "sl-sac"], **small)
    assert [(cell.name, cell.seeds) for cell in cells] == [
        (f"ppo-lag/{names[0]}", [0]),
        (f"ppo-lag/{names[1]}", [1]),
        ("sl-sac/pyslsac-Bandit-v0", [0, 1]),
    ]
    assert cells[0].out == cells[1].out and cells[0].log != cells[1].log
    apart = cells_of(tmp_path, algos=["sl-sac"], lockstep=False, **small)
    assert [cell.name for cell in apart] == [f"sl-sac/{name}" for name in names]


def test_cells_that_share_a_folder_begin_and_go_on_one_by_one(tmp_path):
    """On-policy seeds are processes of their own, whose folders lie beside each other."""
    small = dict(steps_per_epoch=40, batch_size=20, iterations=1, width=8)
    changes = dict(algos=["ppo-lag"], tasks=[BANDIT], agent=small, steps=80, eval_every=0, checkpoint_every=1)
    one, two = cells_of(tmp_path, **changes)
    train(**one.arguments(), quiet=True, on_epoch=lambda columns: False)
    assert train(**two.arguments(), quiet=True).finished
    assert one.arguments() == {"resume": one.folders[0], "wandb": False}
    assert (one.progress().state, two.progress().state) == ("begun", "finished")
    assert train(**one.arguments(), quiet=True).finished
    assert one.progress().state == "finished" and one.progress().steps == 80
    assert len(cells_of(tmp_path, **changes)) == 2  # what was recorded is what the file says


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"algos": ["sl-sac", "slsac"]}, "algos: unknown algorithm 'slsac'; did you mean 'sl-sac'?"),
        ({"algos": []}, "algos: got [], wanted different names"),
        ({"algos": ["sl-sac", "sl-sac"]}, "wanted different names"),
        ({"algos": [{"sl-sac": {"preset": "step"}}]}, "wanted different names: a list, or options below each"),
        ({"algos": {"sl-sac": 3}}, "algos.sl-sac: got 3, wanted options"),
        ({"tasks": None}, "tasks: got None"),
        ({"tasks": ["pyslsac/Bandt-v0"]}, "tasks: sl-sac/pyslsac-Bandt-v0: there is no task 'pyslsac/Bandt-v0'"),
        ({"tasks": ["nowhere:Task-v0"]}, "No module named 'nowhere'"),
        ({"cost_key": "price"}, "tasks: sl-sac/pyslsac-Bandit-v0: pyslsac/Bandit-v0"),
        ({"env": {"backend": "isaac"}}, "there is no backend 'isaac'"),
        ({"steps": None}, "steps: sl-sac/pyslsac-Bandit-v0 has none"),
        ({"steps": "ten"}, "steps: got 'ten', wanted int"),
        ({"steps": 0}, "sl-sac/pyslsac-Bandit-v0: steps: got 0"),
        ({"seeds": 3}, "seeds: got 3, wanted list[int]"),
        ({"seeds": [1, 1]}, "seeds: got [1, 1]"),
        ({"preset": 3}, "preset: got 3, wanted str | None"),
        ({"preset": "demo"}, "preset: sac-lag has no preset 'demo'; known: omnisafe"),
        (
            {"algos": {"sl-sac": {"preset": "dmeo"}}},
            "algos.sl-sac.preset: sl-sac has no preset 'dmeo'; did you mean 'demo'?",
        ),
        ({"device": "gpu"}, "device: got 'gpu', wanted auto"),
        ({"num_env": 3}, "num_env: there is no such option; did you mean 'num_envs'?"),
        ({"algos": {"sl-sac": {"out": "here"}}}, "algos.sl-sac.out: there is no such option"),
        ({"agent": {"widht": 8}}, "agent.widht: sl-sac has no field 'widht'; did you mean 'width'?"),
        ({"agent": {"ensemble": 2}}, "agent.ensemble: sac-lag has no field 'ensemble'"),
        ({"agent": {"width": "big"}}, "agent.width: got 'big', wanted int"),
        ({"agent": {"width": True}}, "agent.width: got True, wanted int"),
        ({"agent": {"gamma": 2}}, "sl-sac/pyslsac-Bandit-v0: gamma: got 2.0"),
        ({"agent": 3}, "agent: got 3, wanted names and values"),
        ({"algos": ["sl-sac"], "agent": {"clip": "norm"}}, "agent.clip: got 'norm', wanted Optional[Literal"),
        ({"algos": ["sl-sac"], "agent": {"betas": [0.9]}}, "agent.betas: got [0.9], wanted tuple[float, float]"),
        ({"grid": {"agent.width": 3}}, "wanted options with lists of values"),
        ({"grid": {"width": [3]}}, "grid.width: there is no such option"),
        ({"variants": {"a:b": None, "a/b": None}}, "two cells are called sl-sac/pyslsac-Bandit-v0/a-b"),
        ({"lockstep": "no"}, "lockstep: got 'no', wanted bool"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path, changes, said):
    two = {"algos": ["sl-sac", "sac-lag"], "preset": "step", "tasks": [BANDIT]} | changes
    file = write(tmp_path / "toy.yaml", **two)
    with pytest.raises(SweepError) as error:
        plan(str(file))
    assert str(error.value).startswith(f"{file}: ") and said in str(error.value)


def test_the_example_of_the_docs(tmp_path):
    page = (ROOT / "docs" / "sweep.md").read_text(encoding="utf-8")
    (tmp_path / "goal.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    planned = plan(str(tmp_path / "goal.yaml"))
    assert planned.out.parts[-2:] == ("runs", "goal") and len(planned.cells) == 2 * 2 * (1 + 1 + 3) * 2
    careful = next(cell for cell in planned.cells if cell.name.endswith("careful,num_envs=4"))
    assert careful.options["agent"] == {"ensemble": 1, "cost_limit": 10.0, "gamma": 0.98}


@pytest.mark.parametrize("text, said", [("a: [", "not YAML"), ("- 1", "holds no sweep"), ("", "holds no sweep")])
def test_what_is_no_sweep_at_all(tmp_path, text, said):
    (tmp_path / "toy.yaml").write_text(text)
    with pytest.raises(SweepError, match=said):
        plan(str(tmp_path / "toy.yaml"))


def test_an_unknown_name_is_answered_with_the_papers(tmp_path):
    with pytest.raises(SweepError, match=r"no file tabel1; did you mean 'table1'\?; the paper's sweeps are c1, c2"):
        plan("tabel1")


def test_runs_that_were_trained_with_other_settings_are_named(tmp_path):
    small = dict(algos=["sl-sac"], tasks=[BANDIT], seeds=[0], steps=40)
    (cell,) = cells_of(tmp_path, **small)
    assert train(**cell.arguments(), quiet=True).finished
    for harmless in ({"device": "auto"}, {"threads": None}, {"env": {"backend": "auto"}}):
        assert cells_of(tmp_path, **small | harmless)
    changed = small | {"steps": 80, "agent": TOY["agent"] | {"width": 16}, "threads": 2, "env": {"horizon": 3}}
    with pytest.raises(SweepError) as error:
        cells_of(tmp_path, **changed)
    said = str(error.value)
    assert f"{cell.folders[0]}: steps is 300" not in said and "steps is 40 there and 80 in the file" in said
    for change in ("agent.width is 8 there and 16", "threads is 1 there and 2", "env.horizon is None there and 3"):
        assert change in said
    assert "another `out`" in said and "pyslsac train --resume DIR --steps N" in said


@pytest.mark.parametrize("name", sorted(path.stem for path in PAPER.glob("*.yaml")))
def test_every_sweep_of_the_paper_can_run_here(name, tmp_path):
    counts = {
        "table1": 60,
        "figure5a": 2,
        "figure5b": 5,
        "c1": 4,
        "c2": 2,
        "c3": 8,
        "c4": 12,
        "c5": 6,
        "table3": 60,
        "d4": 22,
    }
    planned = plan(name, tmp_path)
    assert len(planned.cells) == counts[name] and paper_sweeps()[name]
    for cell in planned.cells:
        settings = yaml.safe_load((PAPER / f"{name}.yaml").read_text())
        assert settings["seeds"] == [0, 1, 2, 3, 4]
        assert cell.steps == (10_000_000 if cell.algo in ("cpo", "ppo-lag") else 1_000_000)
