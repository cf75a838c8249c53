"""What counts, what does not and why, and the four numbers of a run."""

import json

import pytest

from pyslsac.plots import gather
from tests.plots.written_runs import write_evaluations, write_seed


def only(gathered):
    """The one result of the one group."""
    (group,) = gathered.groups
    (result,) = group.results
    return result


def reason(root, **options) -> str:
    """Why the one run that does not count is left out, beside one that does."""
    write_seed(root, folder="beside", seed=9)
    ((_, why),) = gather([root], **options).left_out
    return why


def test_a_runs_four_numbers_by_hand(tmp_path):
    write_seed(tmp_path, returns=[10.0, 20.0, 60.0], costs=[30.0, 10.0, 26.0])
    result = only(gather([tmp_path]))
    assert result.values == {"return": 30.0, "cost": 22.0, "over_limit": 2 / 3, "cvar": 28.0}  # of the worst two
    assert (result.env_steps, result.episodes, result.risk_level, result.finished) == (1000, 3, 0.5, True)
    assert only(gather([tmp_path], risk_level=0.1)).values["cvar"] == 30.0


def test_the_newest_deterministic_evaluation_counts(tmp_path):
    folder = write_seed(tmp_path)
    entries = [
        {"env_steps": steps, "cost": {"risk_level": 1.0}, "episodes": [{"return": value, "cost": 0.0}], **more}
        for steps, value, more in [
            (500, 1.0, {}),
            (1000, 2.0, {}),
            (1000, 3.0, {"deterministic": True}),  # by `pyslsac eval`, later
            (1000, 4.0, {"deterministic": False}),
        ]
    ]
    write_evaluations(folder, *entries)
    assert only(gather([tmp_path])).values["return"] == 3.0
    write_evaluations(folder, entries[3])
    assert reason(tmp_path) == "it has no deterministic evaluation yet"


def test_without_a_limit_nothing_is_over_it(tmp_path):
    write_seed(tmp_path, agent={"cost_limit": None})
    gathered = gather([tmp_path])
    assert "over_limit" not in only(gathered).values
    assert gathered.groups[0].estimate("over_limit") is None


EPOCHS = {
    "TotalEnvSteps": [250, 500, 750, 1000],
    "Epoch/Episodes": [4, 1, 0, 3],
    "Epoch/EpRet": [9.0, 10.0, "", 2.0],
    "Epoch/EpCost": [9.0, 40.0, "", 4.0],
    "Metrics/EpRet": [1.0] * 4,
    "Metrics/EpCost": [1.0] * 4,
    "Metrics/EpisodesOverLimit": [2, 3, 3, 3],
}


def test_the_last_epochs_of_training_weigh_by_their_episodes(tmp_path):
    write_seed(tmp_path, log=EPOCHS)
    result = only(gather([tmp_path], epochs=3))  # one episode, none, three; one of them over the limit
    assert result.values == {"return": (10 + 3 * 2) / 4, "cost": (40 + 3 * 4) / 4, "over_limit": 1 / 4}
    assert (result.episodes, result.risk_level) == (4, None)
    assert only(gather([tmp_path], epochs=99)).values["over_limit"] == 3 / 8  # all there are


def test_training_that_cannot_be_told_is_left_out(tmp_path):
    write_seed(tmp_path, folder="a", log=EPOCHS | {"Epoch/Episodes": [4, 1, 0, 0]})
    write_seed(tmp_path, folder="b")
    write_seed(tmp_path, folder="c", log=EPOCHS)
    said = [why for _, why in gather([tmp_path], epochs=2).left_out]
    assert said == [
        "no training episode ended in its last 2 epochs",
        "its log has no column 'Epoch/Episodes'",
    ]


@pytest.mark.parametrize("status", ["running", "interrupted", "broken off", "stopped"])
def test_unfinished_runs_count_only_when_asked_for(tmp_path, status):
    write_seed(tmp_path, env_steps=400, status=status)
    assert reason(tmp_path) == f"it is {status}: its episodes are of step 400, it is to have 1,000"
    (group,) = gather([tmp_path], unfinished=True).groups
    assert [(result.run.seed, result.finished) for result in group.results] == [(0, False), (9, True)]


def test_finished_means_evaluated_at_the_planned_step(tmp_path):
    write_seed(tmp_path, steps=2000)
    write_seed(tmp_path, seed=1, steps=2000, env_steps=2016)  # several environments may step past it
    ((_, why),) = gather([tmp_path]).left_out
    assert why == "its episodes are of step 1,000, it is to have 2,000"


def test_failed_runs_never_count(tmp_path):
    write_seed(tmp_path, status="failed")
    assert reason(tmp_path, unfinished=True) == "it failed: a NaN"


def test_a_seed_counts_once_the_finished_one_first(tmp_path):
    write_seed(tmp_path, folder="a", status="running", returns=[1.0, 1.0])
    kept = write_seed(tmp_path, folder="b", returns=[2.0, 2.0])
    gathered = gather([tmp_path], unfinished=True)
    assert only(gathered).values["return"] == 2.0
    assert [why for _, why in gathered.left_out] == [f"seed 0 is there already, in {kept}"]


def break_file(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda folder: (folder / "eval.json").unlink(), "it has no deterministic evaluation yet"),
        (break_file("eval.json", "{"), "its eval.json cannot be read"),
        (break_file("eval.json", "[]"), "its eval.json holds a list"),
        (break_file("eval.json", '{"evaluations": [{}]}'), "is not as `pyslsac eval` writes it: KeyError('env_steps')"),
        (break_file("eval.json", '{"evaluations": 3}'), "is not as `pyslsac eval` writes it"),
        (lambda folder: write_evaluations(folder, {"env_steps": 1000, "episodes": []}), "no deterministic evaluation"),
        (break_file("environment.json", "{"), "its environment.json cannot be read"),
        (break_file("config.yaml", "["), "is not YAML"),
        (break_file("progress.csv", ""), "holds no rows yet"),
        (lambda folder: (folder / "progress.csv").unlink(), "progress.csv does not exist"),
        (lambda folder: folder.rename(folder.with_name("x")) and no_seed(folder.with_name("x")), "its seed is neither"),
        (break_file("eval.json", json.dumps({"evaluations": [
            {"env_steps": 1000, "cost": {"risk_level": 1.0}, "episodes": [{"return": float("nan"), "cost": 0.0}]}
        ]})), "not finite"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_be_read_is_left_out_by_name(tmp_path, damage, said):
    damage(write_seed(tmp_path))
    assert said in reason(tmp_path)


def no_seed(folder) -> None:
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("seed: 0\n", ""))


def test_what_holds_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no config\.yaml or progress\.csv in or below"):
        gather([tmp_path])
    write_seed(tmp_path, status="failed")
    with pytest.raises(ValueError, match=r"none of these runs can be reported: .*seed-000: it failed: a NaN"):
        gather([tmp_path])
    with pytest.raises(ValueError, match="epochs: got 0"):
        gather([tmp_path], epochs=0)
    with pytest.raises(ValueError, match="risk level: got 2"):
        gather([tmp_path], risk_level=2)
