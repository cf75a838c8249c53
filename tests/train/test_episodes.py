"""The books on training episodes."""

import numpy as np

from pyslsac.train.episodes import WINDOW, Episodes


def step(books, reward, cost, done):
    return books.add(np.array(reward, float), np.array(cost, float), np.array(done, bool))


def test_accounts():
    books = Episodes(2, 2, cost_limit=3.0)
    assert step(books, [[1, 10], [0, 0]], [[1, 2], [0, 0]], [[0, 1], [0, 0]]) == [(0, 2.0)]
    assert step(books, [[1, 5], [0, 7]], [[3, 0], [0, 1]], [[1, 0], [0, 1]]) == [(0, 4.0), (1, 1.0)]
    columns = books.read(env_steps=4)
    assert columns["Metrics/EpRet"].tolist() == [6.0, 7.0] and columns["Metrics/EpCost"].tolist() == [3.0, 1.0]
    assert columns["Metrics/EpLen"].tolist() == [1.5, 2.0] and columns["Epoch/EpCostMax"].tolist() == [4.0, 1.0]
    assert columns["Metrics/Episodes"].tolist() == [2.0, 1.0]
    assert columns["Metrics/EpisodesOverLimit"].tolist() == [1.0, 0.0]
    assert columns["Metrics/CostRate"].tolist() == [1.5, 0.25]


def test_the_epoch_starts_afresh_and_the_window_stays():
    books = Episodes(1, 1, cost_limit=3.0)
    for cost in range(WINDOW + 5):
        step(books, [[1]], [[cost]], [[1]])
    assert books.last_costs(0) == [float(cost) for cost in range(5, WINDOW + 5)]
    assert books.read(1)["Epoch/Episodes"].tolist() == [WINDOW + 5]
    columns = books.read(1)
    assert columns["Metrics/EpCost"].tolist() == [9.5] and columns["Epoch/Episodes"].tolist() == [0.0]
    assert np.isnan(columns["Epoch/EpCost"]).all() and np.isnan(columns["Epoch/EpCostMax"]).all()


def test_nothing_has_ended():
    columns = Episodes(2, 1, cost_limit=1.0).read(0)
    assert np.isnan(columns["Metrics/EpRet"]).all() and columns["Metrics/CostRate"].tolist() == [0.0, 0.0]


def test_state_and_selection():
    books = Episodes(3, 1, cost_limit=0.5)
    step(books, [[1], [2], [3]], [[1], [0], [1]], [[1], [1], [0]])
    other = Episodes(3, 1, cost_limit=0.5)
    other.load_state_dict(books.state_dict())
    books.select([2, 0])
    other.select([2, 0])
    for one, two in zip(books.read(2).values(), other.read(2).values(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert books.running[0].tolist() == [[3.0, 1.0, 1.0]] and books.ended.tolist() == [0, 1]
