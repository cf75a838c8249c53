"""What the command line refuses, with exit code 2 and one clear message, and which of its four sources wins."""

import pytest

from pyslsac.cli import main, parse_train

TASK = "pyslsac/LinearQuadratic-v0"


def refused(capsys, *args: object) -> str:
    """What is said on bad usage; checks that the exit code is 2."""
    try:
        code = main([str(arg) for arg in args])
    except SystemExit as left:
        code = left.code
    assert code == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    "words, said",
    [
        ("", "train"),
        ("trian sl-sac", "Available subcommands"),
        ("train sl-sac", "needs ALGO and TASK"),
        ("train slsac Task", "did you mean 'sl-sac'"),
        (f"train sl-sac {TASK} --step 10", "--steps"),
        (f"train sl-sac {TASK} --steps ten", "--steps"),
        (f"train sl-sac {TASK} --agent.risk-leve 0.1", "--agent.risk-level"),
        (f"train sl-sac {TASK} --agent.risk-level 2", "wanted a number in (0, 1]"),
        (f"train sl-sac {TASK} --agent.aggregation max", "mean"),
        (f"train sl-sac {TASK} --preset dmeo", "did you mean 'demo'"),
        (f"train sl-sac {TASK} --seeds 1 1", "seeds: got [1, 1]"),
        (f"train sl-sac {TASK} --num-envs 0", "num_envs: got 0"),
        ("train sl-sac pyslsac/LinearQuadratc-v0", TASK),
        ("train sl-sac nowhere:Task-v0", "No module named 'nowhere'"),
        ("train sl-sac gymnasium:Nowhere-v0", "there is no task 'gymnasium:Nowhere-v0'"),
        (f"train sl-sac {TASK} --config nowhere.yaml", "nowhere.yaml cannot be read"),
        ("train --quiet", "needs ALGO and TASK"),
        ("train --resume nowhere", "nowhere"),
        ("eval nowhere", "no run in or below nowhere"),
        ("plot nowhere", "no progress.csv in or below nowhere"),
        ("plot", "DIR"),
        ("list agents", "algos"),
    ],
)
def test_bad_usage_is_refused_with_one_clear_message(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *words.split())


@pytest.mark.parametrize(
    "content, said",
    [
        ("stepz: 3", "did you mean 'steps'"),
        ("agent: {risk_leve: 1}", "--agent.risk-level"),
        ("agent: 3", "agent is 3"),
        ("agent: {temperature: hot}", "--agent.temperature"),
        ("- 1", "holds no options"),
        ("a: [", "is not YAML"),
        ("seed: 3", "did you mean 'seeds'"),
    ],
)
def test_bad_yaml_is_refused_by_name(content, said, capsys, tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text(content)
    assert said in refused(capsys, "train", "sl-sac", TASK, "--config", file)


def test_defaults_then_preset_then_yaml_then_command_line(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text(
        "preset: demo\nsteps: 7\nnum_envs: 2\nseeds: [4, 5]\nwandb: true\nagent: {ensemble: 4, clip: null, bias: 1e-3}"
    )
    options, agent = parse_train(["sl-sac", TASK, "--config", str(file), "--steps", "8"])
    assert (options.preset, options.steps, options.num_envs, options.seeds, options.wandb) == (
        "demo",
        8,
        2,
        (4, 5),
        True,
    )
    assert agent == {"ensemble": 4, "clip": None, "bias": 1e-3}  # what demo sets besides is not touched
    words = [
        "--agent.batch-size",
        "256",
        "--agent.ensemble",
        "1",
        "--agent.betas",
        "0.5",
        "0.6",
        "--agent.clip",
        "None",
    ]
    options, agent = parse_train(["sl-sac", TASK, "--preset", "demo", *words])
    assert agent == {"batch_size": 256, "betas": (0.5, 0.6), "clip": None}  # 256: the default, but asked for


def test_a_presets_values_may_depend_on_the_task():
    words = ["--preset", "omnisafe", "--agent.cost-normalize", "False"]
    assert parse_train(["sl-sac", "SafetyHalfCheetahVelocity-v1", *words])[1] == {"cost_normalize": False}
    assert parse_train(["sl-sac", "SafetyPointGoal1-v0", *words])[1] == {}
