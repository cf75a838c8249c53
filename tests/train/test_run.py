"""Whole runs: what they leave behind, and that a killed one goes on as if nothing had happened."""

import json

import pytest
import yaml

from pyslsac.train.run import train
from tests.train.tiny_run import AGENT, SETTINGS, TASK, assert_same_run, killed_run, resume, rows, tiny_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    return tiny_run(out)


def test_a_run_directory(whole):
    assert whole.finished and [seed.seed for seed in whole.seeds] == [0, 1]
    for seed in whole.seeds:
        names = {path.name.split(".")[0] for path in seed.out.iterdir()}
        assert names == {"config", "progress", "events", "checkpoints", "eval", "environment"}
        assert [float(row["TotalEnvSteps"]) for row in rows(seed.out)] == [20, 40, 60, 80, 100, 120]
        assert seed.env_steps == 120 and seed.updates == 100 and seed.episodes == 12
        assert len(seed.last_costs) == 10 and seed.exact and seed.failure is None
        config = yaml.safe_load((seed.out / "config.yaml").read_text())
        assert config["algo"] == "sl-sac" and config["seed"] == seed.seed and config["agent"]["width"] == 8
        environment = json.loads((seed.out / "environment.json").read_text())
        assert environment["status"] == "finished" and environment["facts"]["runs"] == 2


def test_evaluations(whole):
    seed = whole.seeds[0]
    evaluations = json.loads((seed.out / "eval.json").read_text())["evaluations"]
    assert [(e["env_steps"], e["count"]) for e in evaluations] == [(40, 2), (80, 2), (120, 3)]
    assert seed.episode_return == evaluations[-1]["return"]["mean"]
    assert float(rows(seed.out)[-1]["Metrics/TestEpCost"]) == seed.episode_cost


def test_the_same_seed_gives_the_same_run(whole, tmp_path):
    again = tiny_run(tmp_path / "again")
    for one, two in zip(whole.seeds, again.seeds, strict=True):
        assert_same_run(one.out, two.out)


@pytest.mark.parametrize("operations", [(3, 9, 21), (12, 34), (27, 2, 50), (45, 60, 5), (75, 17)])
def test_killed_between_and_during_writes(whole, tmp_path, operations):
    """SIGKILL before the n-th sync, rename or removal of each process, files half written; then to the end."""
    out = tmp_path / "run"
    for operation in operations:
        assert killed_run(out, operation) == -9
    result = resume(out) if (out / "seed-001" / "config.yaml").exists() else tiny_run(out)
    assert result.finished
    for one, two in zip(whole.seeds, result.seeds, strict=True):
        assert two.exact
        assert_same_run(one.out, two.out)


def test_longer_than_planned(whole, tmp_path):
    first = tiny_run(tmp_path / "run", steps=60)
    assert first.seeds[0].env_steps == 60
    second = resume(tmp_path / "run", steps=120)
    assert second.seeds[0].env_steps == 120
    last = rows(second.seeds[1].out)[-1]
    assert last == rows(whole.seeds[1].out)[-1]


def test_a_finished_run_has_nothing_left_to_do(whole):
    before = (whole.seeds[0].out / "progress.csv").read_bytes()
    assert resume(whole.out).seeds[0].evaluation == whole.seeds[0].evaluation
    assert (whole.seeds[0].out / "progress.csv").read_bytes() == before


def test_the_faithful_order_resumes_to_the_same_bits(whole, tmp_path):
    one = tiny_run(tmp_path / "one", faithful=True)
    two = tiny_run(tmp_path / "two", faithful=True, steps=60)
    two = resume(two.out, steps=120)
    assert two.seeds[0].exact and rows(one.seeds[0].out)[-1] == rows(two.seeds[0].out)[-1]
    assert rows(one.seeds[0].out)[-1] != rows(whole.seeds[0].out)[-1]  # of another order


@pytest.mark.parametrize(
    ("change", "word"),
    [(dict(threads=2), "threads"), (dict(num_envs=1), "num_envs"), (dict(faithful=True), "faithful")],
)
def test_what_differs_is_said_and_marked(tmp_path, change, word):
    tiny_run(tmp_path / "run", steps=60)
    with pytest.warns(UserWarning, match=f"not bit-identical: .*{word} was"):
        result = resume(tmp_path / "run", steps=80, **change)
    assert result.finished and not any(seed.exact for seed in result.seeds)
    assert word in json.loads((result.seeds[0].out / "environment.json").read_text())["notes"][0]


def test_one_seed_goes_on_alone(tmp_path):
    tiny_run(tmp_path / "run", steps=60)
    with pytest.warns(UserWarning, match="runs was 2, is 1"):
        result = resume(tmp_path / "run" / "seed-001", steps=80)
    assert [seed.seed for seed in result.seeds] == [1] and result.seeds[0].env_steps == 80


def test_on_epoch_sees_columns_and_stops(tmp_path):
    seen = []

    def stop_at_60(columns):
        seen.append(columns["TotalEnvSteps"].tolist())
        return bool(columns["TotalEnvSteps"][0] < 60)

    result = tiny_run(tmp_path / "run", on_epoch=stop_at_60)
    assert seen == [[20, 20], [40, 40], [60, 60]]
    assert {seed.status for seed in result.seeds} == {"stopped"}
    assert resume(tmp_path / "run").finished


def test_a_taken_folder_is_refused(whole):
    with pytest.raises(ValueError, match="not empty: resume that run"):
        tiny_run(whole.out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(steps=0), "steps: got 0"),
        (dict(seeds=[1, 1]), "seeds: got"),
        (dict(preset="dmeo"), "demo"),
        (dict(agent=dict(widht=3)), "width"),
    ],
)
def test_bad_settings_leave_nothing_behind(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_a_task_given_as_a_function_is_given_again(tmp_path):
    from pyslsac.envs.linear_quadratic import LinearQuadratic

    settings = SETTINGS | dict(steps=40, env=dict(horizon=10, workers=0))
    train("sl-sac", LinearQuadratic, out=tmp_path / "run", agent=AGENT, **settings)
    with pytest.raises(ValueError, match="give it again"):
        resume(tmp_path / "run", steps=60)
    assert train(task=LinearQuadratic, resume=tmp_path / "run", steps=60, quiet=True).finished


def test_resume_of_something_else(whole, tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        resume(tmp_path)
    with pytest.raises(ValueError, match=f"holds sl-sac on {TASK}"):
        train("sl-sac", "pyslsac/Bandit-v0", resume=whole.out)
    with pytest.raises(ValueError, match="do not give them"):
        train(resume=whole.out, seeds=[3])
