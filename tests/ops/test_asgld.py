"""asgld_: hand numbers, the reference bit for bit, float64, isolated runs and networks, tile edges, what it refuses."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyslsac.ops import asgld_, backend, philox_normal
from pyslsac.ops.reference.asgld import CLIPS, VARIANTS, wide

OP = torch.ops.pyslsac.asgld_.default
HAND = dict(lr=0.1, temperature=0.0, bias=1.0, betas=(0.5, 0.75), eps=0.5, seed=0)


def lists(params: list[Tensor], variant: str, residual: bool = False, target: bool = False) -> dict[str, list[Tensor]]:
    """Everything a step writes, for parameters `params`."""
    moments = [[torch.zeros_like(p, dtype=wide(p)) for p in params] for _ in range(3)]
    return {
        "params": [p.clone() for p in params],
        "exp_avgs": moments[0] if VARIANTS[variant] == 2 else [],
        "exp_avg_sqs": moments[1] if VARIANTS[variant] else [],
        "residuals": moments[2] if residual else [],
        "targets": [torch.zeros_like(p) for p in params] if target else [],
    }


def steps(count: int, value: int = 0) -> list[Tensor]:
    return [torch.tensor(value) for _ in range(count)]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("variant", "after_2", "after_minus_1"),
    [
        ("sgld", 0.8, 0.9),  # D = 2, -1
        ("psgld", 0.86666667, 0.93333333),  # v = 1, 1; D = 4/3, -2/3
        ("asgld-preconditioned", 0.93333333, 0.93333333),  # m = 1, 0; D = 2/3, 0
        ("asgld", 0.73333333, 0.83333333),  # D = 8/3, -1
    ],
)
def test_variants_by_hand(variant: str, after_2: float, after_minus_1: float, fused: bool) -> None:
    written = lists([torch.tensor([1.0])], variant)
    for grad, wanted in ((2.0, after_2), (-1.0, after_minus_1)):
        asgld_(**written, grads=[torch.tensor([grad])], steps=steps(1), variant=variant, clip=None, fused=fused, **HAND)
        assert written["params"][0].item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("clip", "wanted"),
    [
        ("grad_norm", (0.9025, 0.87555556)),  # |(3, 4)| = 5, so g = (.6, .8); D = (.975, 1.2444444)
        ("drift_value", (0.9, 0.9)),  # D = (3.75, 4.8), bounded by 1
        ("drift_norm", (0.93843564, 0.92119762)),  # |D| = 6.0912129
        (None, (0.625, 0.52)),
    ],
)
def test_clips_by_hand(clip: str | None, wanted: tuple[float, float], fused: bool) -> None:
    written = lists([torch.ones(1), torch.ones(1)], "asgld")  # one network, two tensors
    grads = [torch.tensor([3.0]), torch.tensor([4.0])]
    asgld_(**written, grads=grads, steps=steps(2), clip=clip, clip_threshold=1.0, fused=fused, **HAND)
    assert [p.item() for p in written["params"]] == pytest.approx(wanted, rel=2e-6)


@pytest.mark.parametrize(("variant", "gain"), [("sgld", 1.0), ("psgld", 1.0), ("asgld-preconditioned", 0.81649658)])
def test_noise_by_hand(variant: str, gain: float) -> None:
    moved = []
    for temperature in (0.0, 0.2):  # sigma = sqrt(2 * .1 * .2) = .2; G = 1 / 1.5
        written = lists([torch.ones(6, dtype=torch.float64)], variant)
        options = HAND | dict(temperature=temperature, seed=3, streams=[7], offsets=[5], clip=None)
        asgld_(**written, grads=[torch.full((6,), 2.0).double()], steps=steps(1, 11), variant=variant, **options)
        moved.append(written["params"][0])
    xi = philox_normal(6, seed=3, step=11, stream=7, first=5).double()
    torch.testing.assert_close(moved[1] - moved[0], 0.2 * gain * xi, rtol=1e-7, atol=1e-12)


def test_target_weight_decay_and_maximize_by_hand() -> None:
    written = lists([torch.tensor([1.0])], "sgld", target=True)
    options = HAND | dict(variant="sgld", clip=None, weight_decay=0.5, maximize=True, polyak=0.25)
    asgld_(**written, grads=[torch.tensor([2.0])], steps=steps(1), **options)
    assert written["params"][0].item() == pytest.approx(1.15)  # 1 - .1 (-2 + .5)
    assert written["targets"][0].item() == pytest.approx(0.2875)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(VARIANTS)),
    st.sampled_from(CLIPS),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.lists(st.sampled_from([0, 1, 3, 4, 31, 33, 127, 1023, 1025, 4095, 4096, 4097, 8193]), min_size=1, max_size=3),
    st.fixed_dictionaries(
        dict(
            temperature=st.sampled_from([0.0, 1e-16, 1e-3]),
            bias=st.sampled_from([0.0, 1.0, 2.5]),
            weight_decay=st.sampled_from([0.0, 0.1]),
            maximize=st.booleans(),
            noise=st.booleans(),
        )
    ),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 1.0, 3.0]),
)
def test_compiled_is_the_reference_bit_for_bit(
    variant, clip, dtype, members, sizes, rule, residual, target, scale
) -> None:
    """In float32 and bfloat16; in float64 to 1e-14, torch's own sqrt and sums being a unit off."""
    params = [torch.randn(*members, size, dtype=dtype) for size in sizes]
    both = lists(params, variant, residual, target), lists(params, variant, residual, target)
    for k, size in enumerate((0.3, 1e-4, 3.0)):
        grads = [torch.randn_like(p) * size for p in params]
        for written, fused in zip(both, (True, False), strict=True):
            asgld_(
                **written,
                grads=grads,
                steps=steps(len(params), k + 2**33),
                seed=torch.arange(members[0]),
                lr=1e-2,
                variant=variant,
                clip=None if clip == "none" else clip,
                networks=math.prod(members),
                offsets=[3 * i for i in range(len(params))],
                grad_scale=None if scale is None else torch.tensor(scale),
                fused=fused,
                **rule,
            )
    tolerance = dict(rtol=1e-13, atol=1e-14) if dtype == torch.float64 else dict(rtol=0, atol=0)
    torch.testing.assert_close(both[0], both[1], **tolerance)


def test_float32_follows_float64() -> None:
    params = [torch.randn(5000), torch.randn(3, 7)]
    both = lists(params, "asgld"), lists([p.double() for p in params], "asgld")
    for k in range(20):
        grads = [torch.randn_like(p) for p in params]
        for written, dtype in zip(both, (torch.float32, torch.float64), strict=True):
            options = dict(steps=steps(2, k), seed=1, lr=1e-3, temperature=1e-4)
            asgld_(**written, grads=[g.to(dtype) for g in grads], **options)
    torch.testing.assert_close([p.double() for p in both[0]["params"]], both[1]["params"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("clip", ["grad_norm", "drift_norm"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_no_bit(threads: int, clip: str) -> None:
    before, results = torch.get_num_threads(), []
    params = [torch.randn(2, 30_001), torch.randn(2, 77)]
    for count in (1, threads):
        torch.set_num_threads(count)
        written = lists(params, "asgld")
        options = dict(steps=steps(2), seed=0, lr=1e-2, temperature=1e-3, networks=2, clip=clip)
        asgld_(**written, grads=[p * 3 for p in params], **options)
        results.append(written)
    torch.set_num_threads(before)
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize("clip", ["grad_norm", "drift_norm"])
def test_runs_are_isolated(clip: str) -> None:
    params, seed = [torch.randn(2, 3, 41), torch.randn(2, 3, 4099)], torch.tensor([8, 5])
    options = dict(steps=steps(2), lr=1e-2, temperature=1e-3, clip=clip)
    together = lists(params, "asgld", residual=True)
    asgld_(**together, grads=[p * 2 for p in params], seed=seed, networks=6, **options)
    for run in range(2):
        alone = lists([p[run : run + 1] for p in params], "asgld", residual=True)
        asgld_(**alone, grads=[p[run : run + 1] * 2 for p in params], seed=seed[run : run + 1], networks=3, **options)
        for name, tensors in alone.items():
            assert all(torch.equal(t, whole[run : run + 1]) for t, whole in zip(tensors, together[name], strict=True))


def test_each_network_is_clipped_as_torch_clips_it() -> None:
    params = [torch.randn(4, 30, 20), torch.randn(4, 20)]
    grads = [torch.randn_like(p) * torch.tensor([0.001, 0.1, 1.0, 10.0]).view(-1, *[1] * (p.dim() - 1)) for p in params]
    written = lists([torch.zeros_like(p) for p in params], "sgld")
    asgld_(**written, grads=grads, steps=steps(2), variant="sgld", lr=1.0, temperature=0.0, seed=0, networks=4)
    for network in range(4):
        alone = [torch.nn.Parameter(torch.zeros_like(p[network])) for p in params]
        for p, g in zip(alone, grads, strict=True):
            p.grad = g[network].clone()
        torch.nn.utils.clip_grad_norm_(alone, 0.7)
        torch.testing.assert_close([-p.grad for p in alone], [p[network] for p in written["params"]])


def test_found_inf_changes_nothing_and_nan_is_not_hidden() -> None:
    params = [torch.randn(9)]
    for found, moves in ((0.0, True), (1.0, False)):
        written = lists(params, "asgld", residual=True)
        options = dict(steps=steps(1), seed=0, lr=0.1, found_inf=torch.tensor(found))
        asgld_(**written, grads=[torch.ones(9)], **options)
        assert torch.equal(written["params"][0], params[0]) != moves
        assert written["exp_avgs"][0].any() == moves
    written = lists(params, "asgld")
    asgld_(**written, grads=[torch.full((9,), math.nan)], steps=steps(1), seed=0, lr=0.1)
    assert written["params"][0].isnan().all()


def test_non_contiguous_empty_and_other_dtypes() -> None:
    base = torch.randn(6, 8)
    written, straight = lists([base], "asgld"), lists([base.t().contiguous()], "asgld")
    written = {name: [t.t() for t in tensors] for name, tensors in written.items()}
    options = dict(steps=steps(1), seed=2, lr=0.1, temperature=1e-3)
    versions = [t._version for tensors in written.values() for t in tensors]
    asgld_(**written, grads=[torch.ones(6, 8).t()], **options)
    asgld_(**straight, grads=[torch.ones(8, 6)], **options)
    assert all(torch.equal(a, b) for a, b in zip(written["params"], straight["params"], strict=True))
    assert all(t._version > v for t, v in zip((t for ts in written.values() for t in ts), versions, strict=True))
    asgld_([], [], steps=[], seed=0, lr=0.1)
    half = lists([torch.ones(5, dtype=torch.float16)], "asgld")
    asgld_(**half, grads=[torch.ones(5, dtype=torch.float16)], clip=None, steps=steps(1), seed=0, lr=0.1)
    assert half["params"][0].max() < 0.91


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(grads=[torch.ones(3)]), r"asgld_: grads is float32 \[3\] on cpu; wanted float32 \[4\]"),
        (dict(grads=[torch.ones(4).double()]), r"asgld_: grads is float64 \[4\]"),
        (dict(exp_avgs=[torch.ones(4).bfloat16()]), r"asgld_: exp_avgs is bfloat16 \[4\]"),
        (dict(exp_avgs=[]), r"asgld_: exp_avgs is 0 long; wanted 1"),
        (dict(steps=[torch.tensor(0.0)]), r"asgld_: steps is float32 \[\] on cpu; wanted int64"),
        (dict(networks=3), r"asgld_: params is float32 \[4\].*each of 3 equal networks"),
        (dict(seed=torch.arange(2)), r"asgld_: networks is 1; wanted a multiple of the number of seeds, 2"),
        (dict(variant="adam"), r"asgld_: variant is adam; wanted one of asgld,"),
        (dict(clip="value"), r"asgld_: clip is value; wanted one of grad_norm,"),
        (dict(offsets=[-1]), r"asgld_: offsets is -1"),
        (dict(streams=[2**32]), r"asgld_: streams is 4294967296"),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_refusals_name_what_came_and_what_was_wanted(change: dict, message: str, fused: bool) -> None:
    arguments = lists([torch.ones(4)], "asgld") | dict(grads=[torch.ones(4)], steps=steps(1), seed=0, lr=0.1)
    with pytest.raises(RuntimeError, match=message):
        asgld_(**(arguments | change), fused=fused)


def test_opcheck() -> None:
    written = lists([torch.randn(2, 9), torch.randn(2, 5)], "asgld", residual=True, target=True)
    grads = [torch.randn_like(p) for p in written["params"]]
    numbers = torch.tensor([1, 2]), torch.tensor(0.1).double(), torch.tensor(1e-3).double(), None, None
    rule = [0, 1], [0, 0], 2, 1.0, 0.9, 0.999, 1e-8, 0.01, "asgld", "grad_norm", 0.7, False, True, 0.005
    rest = [written[k] for k in ("exp_avgs", "exp_avg_sqs", "residuals", "targets")]
    torch.library.opcheck(OP, (written["params"], grads, *rest, steps(2), *numbers, *rule))


def test_cpu_runs_compiled() -> None:
    assert backend("asgld_", "cpu") == "compiled"
