"""`quantile_huber`: hand numbers, the float64 reference, derivatives, edges of the tiles, and what its minimiser is."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from pyslsac.ops import _library, backend, quantile_huber
from pyslsac.ops.reference import quantile_huber as reference
from tests.ops.threads import on_threads

DTYPES = [torch.float32, torch.float64, torch.bfloat16]
EDGES = [1, 2, 15, 16, 17, 31, 32, 33, 64, 65]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
devices = pytest.mark.parametrize("device", DEVICES)


def case(*rows, n=32, m=32, dtype=torch.float32, device="cpu", seed=0):
    """pred, target and tau of random rows; a third of the errors lies beyond kappa = 1."""
    generator = torch.Generator().manual_seed(seed)
    pred, target = torch.randn(*rows, n, generator=generator), torch.randn(*rows, m, generator=generator)
    tau = torch.rand(*rows, n, generator=generator)
    return tuple(x.to(device, dtype) for x in (pred, target, tau))


def loss_and_grad(pred, target, tau, kappa=1.0):
    """Σ of the losses differentiated through the public function."""
    pred = pred.detach().requires_grad_()
    loss = quantile_huber(pred, target, tau, kappa)
    return loss.detach(), torch.autograd.grad(loss.sum(), pred)[0]


@devices
@pytest.mark.parametrize(
    ("kappa", "target", "loss", "grad"),
    [  # pred 0, tau 1/4
        (1.0, 0.5, 0.03125, -0.125),  # 1/4 · 0.5²/2
        (1.0, 3.0, 0.625, -0.25),  # 1/4 · (3 - 1/2)
        (1.0, -0.5, 0.09375, 0.375),  # 3/4 · 0.5²/2
        (1.0, -3.0, 1.875, 0.75),  # 3/4 · (3 - 1/2)
        (1.0, 0.0, 0.0, 0.0),
        (2.0, 3.0, 0.5, -0.25),  # 1/4 · 2 (3 - 1) / 2
        (2.0, -1.0, 0.1875, 0.375),  # 3/4 · 1/2 / 2
        (0.5, 3.0, 0.6875, -0.25),  # 1/4 · 0.5 (3 - 0.25) / 0.5
    ],
)
def test_one_pair_by_hand(kappa, target, loss, grad, device):
    pair = [torch.tensor([x], device=device) for x in (0.0, target, 0.25)]
    assert [x.item() for x in loss_and_grad(*pair, kappa)] == [loss, grad]


@devices
def test_two_predictions_and_four_targets_by_hand(device):
    pred, tau = torch.tensor([[0.0, 1.0]], device=device), torch.tensor([[0.25, 0.75]], device=device)
    target = torch.tensor([[0.5, 3.0, -0.5, -3.0]], device=device)
    loss, grad = loss_and_grad(pred, target, tau)
    # tau 1/4 at errors 0.5, 3, -0.5, -3: (0.03125 + 0.625 + 0.09375 + 1.875) / 4
    # tau 3/4 at errors -0.5, 2, -1.5, -4: (0.03125 + 1.125 + 0.25 + 0.875) / 4
    assert loss.tolist() == [0.65625 + 0.5703125]
    assert grad.tolist() == [[0.1875, -0.03125]]


@devices
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", EDGES)
def test_agrees_with_the_float64_reference(n, dtype, device):
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 4e-3}[dtype]
    for m in EDGES:
        pred, target, tau = case(3, 2, n=n, m=m, dtype=dtype, device=device, seed=n * m)
        loss, grad = loss_and_grad(pred, target, tau, 0.7)
        wanted = reference.quantile_huber(pred.double(), target.double(), tau.double(), 0.7)
        assert loss.dtype == reference.wide(dtype) and grad.dtype == dtype
        torch.testing.assert_close(loss.double(), wanted[0], rtol=min(tolerance, 2e-6), atol=1e-15)
        torch.testing.assert_close(
            grad.double(), wanted[1], rtol=tolerance, atol=1e-7 if dtype != torch.float64 else 1e-15
        )


@devices
def test_gradcheck(device):
    pred, target, tau = case(2, 3, n=5, m=7, dtype=torch.float64, device=device)
    pred.requires_grad_()
    for kappa in (0.3, 1.0, 10.0):
        assert torch.autograd.gradcheck(lambda p, kappa=kappa: quantile_huber(p, target, tau, kappa), (pred,))


@devices
def test_gradient_of_a_weighted_loss(device):
    pred, target, tau = case(6, device=device)
    weight = torch.arange(6.0, device=device)
    pred.requires_grad_()
    (quantile_huber(pred, target, tau) * weight).sum().backward()
    torch.testing.assert_close(pred.grad, loss_and_grad(pred, target, tau)[1] * weight.unsqueeze(-1))


def test_target_and_tau_are_constants():
    pred, target, tau = (x.requires_grad_() for x in case(4))
    quantile_huber(pred, target, tau).sum().backward()
    assert pred.grad is not None and target.grad is None and tau.grad is None
    assert not quantile_huber(pred.detach(), target, tau).requires_grad


def test_a_second_derivative_is_refused():
    pred, target, tau = case(4)
    pred.requires_grad_()
    weight = torch.ones(4, requires_grad=True)
    (grad,) = torch.autograd.grad((weight * quantile_huber(pred, target, tau)).sum(), pred, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


@devices
@pytest.mark.parametrize("dtype", DTYPES)
def test_opcheck(dtype, device):
    pred, target, tau = case(2, 3, n=5, m=7, dtype=dtype, device=device)
    torch.library.opcheck(torch.ops.pyslsac.quantile_huber.default, (pred.requires_grad_(), target, tau, 0.5))


@devices
def test_compiles_without_a_break(device):
    pred, target, tau = case(8, device=device)
    compiled = torch.compile(lambda p: quantile_huber(p, target, tau).mean(), fullgraph=True, backend="aot_eager")
    first, second = pred.clone().requires_grad_(), pred.clone().requires_grad_()
    compiled(first).backward()
    quantile_huber(second, target, tau).mean().backward()
    assert torch.equal(first.grad, second.grad)


@devices
def test_rows_and_threads_do_not_change_bits(device):
    args = case(257, n=33, m=31, device=device)
    together = torch.ops.pyslsac.quantile_huber(*args, 1.0)
    alone = [torch.ops.pyslsac.quantile_huber(*(x[i : i + 1] for x in args), 1.0) for i in range(257)]
    for whole, rows in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.equal(whole, torch.cat(rows))
    for again in on_threads(lambda: torch.ops.pyslsac.quantile_huber(*args, 1.0)):
        assert all(map(torch.equal, again, together))


@devices
def test_empty_and_vector_arguments(device):
    assert [list(x.shape) for x in loss_and_grad(*case(0, device=device))] == [[0], [0, 32]]
    assert loss_and_grad(*case(3, n=0, device=device))[0].tolist() == [0.0, 0.0, 0.0]
    loss, grad = loss_and_grad(*(x[0] for x in case(1, device=device)))  # no leading axis
    assert loss.shape == () and grad.shape == (32,)


@devices
def test_non_contiguous_arguments(device):
    pred, target, tau = case(32, 8, n=32, device=device)
    wanted = loss_and_grad(*(x.transpose(0, 1).contiguous() for x in (pred, target, tau)))
    got = loss_and_grad(*(x.transpose(0, 1) for x in (pred, target, tau)))
    assert all(map(torch.equal, got, wanted))


@devices
def test_not_a_number_stays_one(device):
    for position in range(2):
        args = case(3, n=20, m=20, device=device)
        args[position][1, 7] = torch.nan
        loss, grad = loss_and_grad(*args)
        assert loss.isnan().tolist() == [False, True, False]
        assert grad.isnan().any(-1).tolist() == [False, True, False]


@devices
@pytest.mark.parametrize("kappa", [0.0, -1.0, float("nan"), float("inf"), 1e-60])
def test_kappa_must_be_positive(kappa, device):
    with pytest.raises(RuntimeError, match=r"quantile_huber: kappa is \S+; wanted a finite number above 0"):
        quantile_huber(*case(2, device=device), kappa)


BAD = {
    "pred is float16": (lambda p, t, u: (p.half(), t.half(), u.half()), "wanted float32, float64 or bfloat16"),
    "pred is float32 []": (lambda p, t, u: (p[0, 0], t[0, 0], u[0, 0]), r"\[..., N\]"),
    "tau is float64 [4, 8]": (lambda p, t, u: (p, t, u.double()), "wanted float32 [4, 8] on cpu"),
    "tau is float32 [4, 7]": (lambda p, t, u: (p, t, u[:, :7]), "wanted float32 [4, 8] on cpu"),
    "target is float64 [4, 6]": (lambda p, t, u: (p, t.double(), u), "as pred is: float32 [4, 8] on cpu"),
    "target is float32 [1, 6]": (lambda p, t, u: (p, t[:1], u), "as pred is: float32 [4, 8] on cpu"),
    "target is float32 [6]": (lambda p, t, u: (p, t[0], u), "as pred is: float32 [4, 8] on cpu"),
    "target is float32 [4, 0]": (lambda p, t, u: (p, t[:, :0], u), "with M > 0"),
}


@pytest.mark.parametrize("came", BAD)
def test_arguments_that_do_not_fit_are_named(came):
    change, wanted = BAD[came]
    args = change(*case(4, n=8, m=6))
    for call in (quantile_huber, reference.quantile_huber):
        with pytest.raises(RuntimeError) as error:
            call(*(x.contiguous() for x in args), 1.0)
        assert f"quantile_huber: {came}" in str(error.value) and wanted.replace("\\", "") in str(error.value)


@pytest.mark.skipif(backend("quantile_huber", "cpu") == "reference", reason="the reference makes one")
def test_no_tensor_of_pairs_is_made():
    args = case(64, n=48, m=40)
    pairs = 4 * 64 * 48 * 40
    quantile_huber(*args)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        loss_and_grad(*args)
    taken = sum(max(event.cpu_memory_usage, 0) for event in run.events())
    assert 0 < taken < pairs / 4
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        reference.quantile_huber(*args, 1.0)
    assert sum(max(event.cpu_memory_usage, 0) for event in run.events()) > pairs  # the measure sees what it must


@pytest.mark.parametrize("kappa", [1e-3, 0.05])
def test_the_minimiser_is_the_quantile(kappa):
    """Descent on the loss finds the quantiles of an exponential law, -log(1 - tau), as kappa goes to 0."""
    tau = torch.tensor([[0.05, 0.25, 0.5, 0.75, 0.9, 0.98]], dtype=torch.float64)
    fractions = (torch.arange(8000, dtype=torch.float64) + 0.5) / 8000
    target = -torch.log1p(-fractions).unsqueeze(0)
    pred = torch.zeros_like(tau).requires_grad_()
    optimizer = torch.optim.SGD([pred], lr=4.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.98)
    for _ in range(400):
        optimizer.zero_grad()
        quantile_huber(pred, target, tau, kappa).sum().backward()
        optimizer.step()
        scheduler.step()
    torch.testing.assert_close(pred.detach(), -torch.log1p(-tau), rtol=0, atol=5e-3 + kappa)


def test_compiled_where_the_core_was_built():
    """The dispatcher holds a kernel of ours for CPU; without a core the reference answers, and doctor says so."""
    if _library.MISSING["cpu"] is not None:
        pytest.skip(_library.MISSING["cpu"])
    assert backend("quantile_huber", "cpu") == "compiled"
