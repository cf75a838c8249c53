"""A policy read back acts as the agent did, in the task's own units, on one observation or many."""

import shutil

import numpy as np
import pytest
import torch

import pyslsac
from pyslsac.train.checkpoint import CheckpointError
from pyslsac.train.policy import Policy, evaluate_run, load_run

TINY = dict(width=8, ensemble=1, quantiles=2, target_quantiles=2, risk_quantiles=2, cosines=4, batch_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    settings = TINY | dict(start_steps=20, steps_per_epoch=50)
    pyslsac.train(
        "sl-sac",
        "pyslsac/LinearQuadratic-v0",
        steps=60,
        seeds=[3],
        out=out,
        agent=settings,
        quiet=True,
        final_episodes=2,
    )
    return out / "seed-003"


def test_numpy_in_numpy_out_one_or_many(folder):
    policy = pyslsac.load_policy(folder)
    obs = np.linspace(-1, 1, 5 * policy.spec.obs_dim).reshape(5, -1)
    many = policy(obs)
    assert many.shape == (5, policy.spec.act_dim) and many.dtype == np.float32
    assert policy(obs[2]).shape == (policy.spec.act_dim,)
    np.testing.assert_allclose(policy(obs[2]), many[2], rtol=1e-5)
    np.testing.assert_array_equal(policy(obs), many)
    assert not np.array_equal(policy(obs, deterministic=False), policy(obs, deterministic=False))
    assert policy.env_steps == 60


def test_it_is_the_agent_that_was_trained(folder):
    _, agent, _ = load_run(folder)
    obs = torch.linspace(-1, 1, agent.spec.obs_dim)
    unit = agent.act(obs.reshape(1, 1, -1), deterministic=True)[0, 0].numpy()
    policy = pyslsac.load_policy(folder)
    np.testing.assert_allclose(policy(obs.numpy()), policy.low + (unit + 1) / 2 * (policy.high - policy.low), rtol=1e-6)


def test_actions_are_in_the_tasks_own_box(folder):
    agent = load_run(folder)[1]
    low, high = np.full(agent.spec.act_dim, -3, np.float32), np.full(agent.spec.act_dim, 5, np.float32)
    policy = Policy(agent, low, high, 0)
    agent.act = lambda obs, deterministic: torch.stack([torch.full((obs.shape[1], agent.spec.act_dim), -1.0)])
    assert (policy(np.zeros(agent.spec.obs_dim)) == -3).all()
    agent.act = lambda obs, deterministic: torch.stack([torch.full((obs.shape[1], agent.spec.act_dim), 0.5)])
    assert (policy(np.zeros((2, agent.spec.obs_dim))) == 3).all()


def test_another_size_of_observation_is_refused(folder):
    policy = pyslsac.load_policy(folder)
    for shape in ((policy.spec.obs_dim + 1,), (1, 1, policy.spec.obs_dim), ()):
        with pytest.raises(ValueError, match="obs: got shape"):
            policy(np.zeros(shape))


def test_no_run_and_no_checkpoint_are_told_apart(folder, tmp_path):
    with pytest.raises(ValueError, match=r"config\.yaml"):
        pyslsac.load_policy(tmp_path)
    bare = tmp_path / "seed-003"
    bare.mkdir()
    shutil.copy(folder / "config.yaml", bare)
    with pytest.raises(CheckpointError, match="no good checkpoint"):
        pyslsac.load_policy(bare)


def test_a_task_given_as_a_function_cannot_be_evaluated_by_name(folder, tmp_path):
    copy = tmp_path / "seed-003"
    shutil.copytree(folder, copy)
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("task: pyslsac/LinearQuadratic-v0", "task: callable tests.Task"))
    assert pyslsac.load_policy(copy).env_steps == 60
    with pytest.raises(ValueError, match=r"was trained on callable tests\.Task"):
        evaluate_run(copy, 1)
