"""The commands at work: what they write, say and leave behind, and with which exit code."""

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
    assert "{train,eval,plot,report,sweep,doctor,bench,list}" in out


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
    assert main(["train", "--resume", str(trained), "--seeds", "3"]) == 2
    assert main(["train", "sl-sac", TASK, "--steps", "9", "--out", str(trained)]) == 2
    said = capsys.readouterr().err
    assert "do not give them" in said and "not empty" in said


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
