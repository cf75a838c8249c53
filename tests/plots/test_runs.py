"""Labels tell runs apart that differ, and only those; a seed that is there twice is taken once."""

import pytest

from pyslsac.plots import find_runs, without_repeats
from pyslsac.plots.runs import read_run
from tests.plots.written_runs import write_seed


def labels(root) -> list[str]:
    return [run.label for run in find_runs([root])]


def test_equal_settings_share_the_algorithms_name(tmp_path):
    for seed in range(2):
        write_seed(tmp_path, seed=seed, threads=seed, device="cpu", eval_every=seed)
    write_seed(tmp_path, task="Other-v0", agent={"gamma": 0.9})  # another task's settings tell nothing apart
    assert labels(tmp_path) == ["sl-sac"] * 3


def test_a_setting_that_differs_is_named_on_every_task(tmp_path):
    write_seed(tmp_path, folder="a", agent={"betas": [0.9, 0.99], "lr": 3e-4}, num_envs=1)
    write_seed(tmp_path, folder="b", agent={"betas": [0.5, 0.99], "lr": 3e-4}, num_envs=4)
    write_seed(tmp_path, folder="c", agent={"betas": [0.5, 0.99], "lr": 3e-4}, num_envs=4, task="Other-v0")
    write_seed(tmp_path, folder="d", algo="cpo")
    assert labels(tmp_path) == [
        "sl-sac (num_envs=1, betas=0.9 0.99)",
        "sl-sac (num_envs=4, betas=0.5 0.99)",
        "sl-sac (num_envs=4, betas=0.5 0.99)",
        "cpo",
    ]


def test_a_preset_stands_for_its_settings(tmp_path):
    write_seed(tmp_path, folder="a", preset="step", agent={"lr": 1.0, "width": 8})
    write_seed(tmp_path, folder="b", preset=None, agent={"lr": 2.0, "width": 9})
    assert labels(tmp_path) == ["sl-sac (step)", "sl-sac"]
    write_seed(tmp_path, folder="c", preset="step", agent={"lr": 3.0, "width": 8})
    assert labels(tmp_path) == ["sl-sac (step, lr=1)", "sl-sac (lr=2)", "sl-sac (step, lr=3)"]


def test_a_setting_that_an_older_version_lacks_is_not_made_up(tmp_path):
    write_seed(tmp_path, folder="a", env={})
    write_seed(tmp_path, folder="b", env={"backend": "native"})
    assert labels(tmp_path) == ["sl-sac", "sl-sac (env.backend=native)"]


def test_a_repeated_seed_is_taken_once(tmp_path):
    first = write_seed(tmp_path, folder="a")
    again = write_seed(tmp_path, folder="b", threads=4)
    other = write_seed(tmp_path, folder="c", agent={"lr": 1.0})
    kept, repeats = without_repeats(find_runs([tmp_path]))
    assert [run.directory for run in kept] == [first, other]
    assert repeats == [(again, f"seed 0 is there already, in {first}")]


def test_the_seed_is_the_recorded_one_or_in_the_folders_name(tmp_path):
    folder = write_seed(tmp_path, seed=7)
    assert read_run(folder).seed == 7
    (folder / "config.yaml").unlink()
    run = read_run(folder)
    assert (run.seed, run.algo, run.task, run.cost_limit) == (7, "sl-sac", "Task-v0", None)
    assert read_run(folder.rename(folder.with_name("elsewhere"))).seed is None


@pytest.mark.parametrize("text, said", [("a: [", "is not YAML"), ("- 1", "wanted names and values")])
def test_a_config_that_is_none_is_named(tmp_path, text, said):
    folder = write_seed(tmp_path)
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"config.yaml .*{said}"):
        read_run(folder)
