"""The place of a time under the ceilings, worked by hand, and what every op says that it must move and compute."""

import importlib

import pytest
import torch

from pyslsac.experiments import roofline
from pyslsac.experiments.cases import Case
from pyslsac.experiments.roofline import roofline as place

PERCEPTRON = "2 networks 5 -> 16 -> 16 -> 1, batch 13, "
CHAIN = "K 3, score 11 -> 16 -> 16 -> 16 -> 2, batch 13, "
CEILINGS = {"copy": 10.0, "fp32": 100.0, "bf16": 400.0}  # 1e9 a second


@pytest.mark.parametrize(
    ("traffic", "flops", "precision", "seconds", "bound", "fraction"),
    [
        (10**10, 10**9, "fp32", 4.0, "copy", 0.25),  # one second of bytes, a hundredth of arithmetic
        (10**9, 10**11, "fp32", 2.0, "fp32", 0.5),
        (10**9, 10**11, "bf16", 1.0, "bf16", 0.25),
        (10**10, 0, "fp32", 0.5, "copy", 2.0),  # out of a cache
    ],
)
def test_the_later_of_bytes_and_arithmetic_bounds(traffic, flops, precision, seconds, bound, fraction):
    case = Case("x", {}, traffic=traffic, flops=flops, precision=precision)
    assert place(case, seconds, CEILINGS) == {"bytes": traffic, "flops": flops, "bound": bound, "fraction": fraction}


def test_ceilings_are_rates_of_this_device(monkeypatch):
    monkeypatch.setattr(roofline, "sample", lambda call, repeats, device: call() is None or 1e-3)
    found = roofline.measure(torch.device("cpu"), quick=True)
    assert found["copy"] == pytest.approx(8 * 2**20 / 1e-3 / 1e9)  # four bytes read and four written
    assert found["fp32"] == found["bf16"] == pytest.approx(2 * 256**3 / 1e-3 / 1e9)


def counted(op: str, name: str) -> tuple[int, int]:
    cases = importlib.import_module(f"pyslsac.experiments.cases.{op}").cases(torch.device("cpu"), True)
    (found,) = [(case.traffic, case.flops) for case in cases if case.name == name]
    return found


@pytest.mark.parametrize(
    ("op", "name", "traffic", "flops"),
    [
        ("philox_normal", "4,096 normals", 4 * 4096, 21 * 4096),
        ("asgld", "100,000 parameters", 28 * 100_000, 40 * 100_000),
        ("asgld", "451,590 parameters in 36 tensors", 28 * 451_590, 40 * 451_590),
        ("langevin_step", "[R, B, A] = [1, 256, 6]", 12 * 1536, 27 * 1536),
        ("quantile_huber", "64 x 8 x 8, float32, forward", 64 * (4 * 4 * 8 + 4), 64 * 64 * 9),
        ("quantile_huber", "64 x 8 x 8, bfloat16, forward", 64 * (2 * 4 * 8 + 4), 64 * 64 * 9),
        ("quantile_huber", "64 x 8 x 8, float32, forward + backward", 64 * (6 * 32 + 8), 64 * 8 * (72 + 1)),
        # x 65, y 26, two networks of 80 + 256 + 16 weights and 33 biases
        ("perceptron", PERCEPTRON + "forward", 4 * (65 + 26 + 770), 26 * 704),
        ("perceptron", PERCEPTRON + "forward + backward", 4 * (2 * 861 + 770), 26 * (3 * 704 - 160)),
        ("perceptron", PERCEPTRON + "forward + backward to x alone", 4 * (2 * 861 + 65), 26 * 2 * 704),
        # obs 65, noise 78 and the path as many, 782 parameters; at each of three levels 13 rows of 576 products
        ("reverse_chain", CHAIN + "forward", 4 * (65 + 78 + 782 + 78), 2 * (13 * (80 + 3 * 576) + 192)),
        ("reverse_chain", CHAIN + "forward + backward", 4 * (2 * 925 + 78 + 782 + 26), 2 * (3 * 23_696 - 13 * 7 * 16)),
    ],
)
def test_counts_by_hand(op, name, traffic, flops):
    assert counted(op, name) == (traffic, flops)


def test_implicit_quantiles_count_active_columns_alone():
    implicit_quantiles = importlib.import_module("pyslsac.experiments.cases.implicit_quantiles")
    psi = torch.tensor([[[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]])  # [G, B, K] = [1, 2, 3], three active
    tau, grad = torch.zeros(1, 2, 5), torch.zeros(1, 2, 5)  # N = 5, C = 4, H = 6
    args = psi, tau, *(torch.zeros(1, *shape) for shape in ((4, 3), (3,), (3, 6), (6,), (6,)))
    read = 6 + 10 + 12 + 3 + 18 + 6 + 6 + 10
    once, head = 2 * 5 * 3, 2 * 10 * 6  # a multiply-add for each quantile of each active column, and for each feature
    assert implicit_quantiles.count(args, (), grad) == (4 * read, once * 10 + head)
    assert implicit_quantiles.count(args, (0,), grad) == (4 * (2 * read + 10 + 6), once * 16 + head)
    assert implicit_quantiles.count(args, (0, 2, 3, 4, 5, 6), grad) == (4 * (2 * read + 10 + 51), once * 26 + head)
