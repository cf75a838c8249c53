"""The command line: what it runs, what it refuses, with which exit code, and which of its four sources wins."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pyslsac.cli import main, parse_train

ROOT = Path(__file__).resolve().parent.parent
TASK = "pyslsac/LinearQuadratic-v0"
TINY = {
    "start_steps": 40,
    "batch_size": 8,
    "width": 8,
    "ensemble": 1,
    "quantiles": 2,
    "target_quantiles": 2,
    "risk_quantiles": 2,
    "cosines": 4,
    "steps_per_epoch": 50,
    "cost_limit": 3.0,
}
FIELDS = [word for name, value in TINY.items() for word in (f"--agent.{name.replace('_', '-')}", str(value))]


def command(*args: object, **options) -> subprocess.Popen:
    """`pyslsac args`, started."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "pyslsac", *map(str, args)]
    return subprocess.Popen(
        words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def run(*args: object) -> tuple[int, str]:
    """Exit code and all output of `pyslsac args`, in this process's place."""
    process = command(*args)
    out, err = process.communicate(timeout=300)
    return process.returncode, out + err


def refused(capsys, *args: object) -> str:
    """What is said on bad usage; checks that the exit code is 2."""
    try:
        code = main([str(arg) for arg in args])
    except SystemExit as left:
        code = left.code
    assert code == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


def steps_of(folder: Path) -> int:
    with (folder / "progress.csv").open(newline="") as file:
        return int([row["TotalEnvSteps"] for row in csv.DictReader(file)][-1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run directory with two tiny seeds of 150 steps."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    code, said = run(
        "train", "sl-sac", TASK, "--steps", 150, "--seeds", 0, 1, "--final-episodes", 4, "--out", out, *FIELDS
    )
    assert code == 0, said
    assert "Final evaluation" in said
    assert said.count("the constraint was") == 2
    return out


def test_help_needs_no_torch_and_names_only_what_exists():
    code = "import sys; from pyslsac.cli import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout
    assert out.rstrip().endswith("False")
    assert "{train,eval,plot,doctor,list}" in out


def test_train_writes_every_seed(trained):
    for seed in (0, 1):
        folder = trained / f"seed-{seed:03d}"
        assert {"config.yaml", "progress.csv", "checkpoints", "eval.json", "environment.json"} <= set(
            os.listdir(folder)
        )
        assert steps_of(folder) == 150
    assert yaml.safe_load((trained / "seed-001" / "config.yaml").read_text())["seed"] == 1


def test_eval_plays_every_seed_and_notes_it(trained, capsys):
    assert main(["eval", str(trained), "--episodes", "5"]) == 0
    out = capsys.readouterr().out
    assert "Deterministic evaluation" in out
    assert all(word in out for word in ("seed-000", "seed-001", "std. error", "CVaR", "over limit"))
    evaluations = json.loads((trained / "seed-001" / "eval.json").read_text())["evaluations"]
    assert evaluations[-1]["count"] == len(evaluations[-1]["episodes"]) == 5
    first = [episode["return"] for episode in evaluations[-1]["episodes"]]
    assert main(["eval", str(trained / "seed-001"), "--episodes", "5", "--stochastic"]) == 0
    evaluations = json.loads((trained / "seed-001" / "eval.json").read_text())["evaluations"]
    assert not evaluations[-1]["deterministic"]
    assert [episode["return"] for episode in evaluations[-1]["episodes"]] != first


def test_plot_draws_and_says_what_the_constraint_did(trained, tmp_path, capsys):
    assert main(["plot", str(trained), "--out", str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert capsys.readouterr().out.count("the constraint was") == 2


def test_resume_needs_no_names(trained, capsys):
    assert main(["train", "--resume", str(trained), "--steps", "200", "--quiet"]) == 0
    assert [steps_of(trained / f"seed-{seed:03d}") for seed in (0, 1)] == [200, 200]
    assert "do not give them" in refused(capsys, "train", "--resume", trained, "--seeds", 3)
    assert "not empty" in refused(capsys, "train", "sl-sac", TASK, "--steps", 9, "--out", trained)


@pytest.mark.parametrize(
    "what, words",
    [
        ("algos", ["sl-sac"]),
        ("tasks", [TASK, "pyslsac/Bandit-v0"]),
        ("metrics", ["Metrics/EpRet", "Metrics/LagrangeMultiplier", "TotalEnvSteps"]),
    ],
)
def test_list_gives_a_line_each_with_a_meaning(what, words, capsys):
    assert main(["list", what]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert all(lines[word] for word in words)


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


def test_a_runs_config_trains_the_same_again(trained):
    options, agent = parse_train(["--config", str(trained / "seed-000" / "config.yaml"), "--out", "elsewhere"])
    assert (options.algo, options.task, options.seeds, options.out) == ("sl-sac", TASK, (0, 1), Path("elsewhere"))
    assert agent == TINY


@pytest.mark.parametrize("signum, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_a_checkpoint_first(signum, code, tmp_path):
    out = tmp_path / "run"
    process = command(
        "train", "sl-sac", TASK, "--steps", 10_000_000, "--checkpoint-every", 10_000, "--out", out, *FIELDS
    )
    deadline = time.monotonic() + 120
    while not (out / "seed-000" / "progress.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signum)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert signum.name in said and "Traceback" not in said
    assert list((out / "seed-000" / "checkpoints").glob("0*/manifest.json"))


FAULTY = """
import gymnasium
from pyslsac.envs.linear_quadratic import LinearQuadratic

class Faulty(LinearQuadratic):
    steps = 0

    def step(self, action):
        Faulty.steps += 1
        if Faulty.steps > 60:
            raise RuntimeError("the motor is on fire")
        return super().step(action)

gymnasium.register("Faulty-v0", Faulty, max_episode_steps=10)
"""


def test_what_fails_while_running_exits_with_1(tmp_path, monkeypatch):
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    words = [sys.executable, "-m", "pyslsac", "train", "sl-sac", "faulty:Faulty-v0", "--steps", "200", *FIELDS]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "the motor is on fire" in done.stderr
