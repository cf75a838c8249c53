"""config.yaml: what goes in comes out; what cannot be is refused."""

import dataclasses

import pytest

from pyslsac.agents import config_for
from pyslsac.train.settings import Settings, read_settings, seed_folder, seed_folders


def test_round_trip(tmp_path):
    agent = dataclasses.asdict(config_for("sl-sac", "demo"))
    settings = Settings("sl-sac", "Task", steps=10, seeds=[3, 1], seed=1, env={"horizon": 5}, agent=agent)
    settings.write(tmp_path)
    assert read_settings(tmp_path) == settings
    assert config_for("sl-sac", overrides=read_settings(tmp_path).agent) == config_for("sl-sac", "demo")


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("num_envs", 0), ("threads", 0), ("eval_every", -1), ("seeds", []), ("seeds", [-1])],
)
def test_refused(field, value):
    with pytest.raises(ValueError, match=rf"^{field}: got"):
        Settings(**{"algo": "sl-sac", "task": "Task", "steps": 1, "seeds": [0]} | {field: value})


def test_another_versions_file_is_named(tmp_path):
    (tmp_path / "config.yaml").write_text("algo: sl-sac\ncolour: green\nagent: {}\n")
    with pytest.raises(ValueError, match=r"config.yaml was not written by this version.*colour"):
        read_settings(tmp_path)


def test_seed_folders(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        seed_folders(tmp_path)
    settings = Settings("sl-sac", "Task", steps=10, seeds=[10, 2])
    for seed in settings.seeds:
        seed_folder(tmp_path, seed).mkdir()
        settings.write(seed_folder(tmp_path, seed))
    assert [folder.name for folder in seed_folders(tmp_path)] == ["seed-002", "seed-010"]
    assert seed_folders(tmp_path / "seed-010") == [tmp_path / "seed-010"]
