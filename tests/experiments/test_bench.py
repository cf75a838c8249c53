"""The microbenchmarks: rivals compute the same, results are kept by device, what cannot be done is refused."""

import importlib
import json

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from pyslsac.cli import main
from pyslsac.experiments import bench, roofline
from pyslsac.experiments.cases import Case
from pyslsac.ops._library import OPS

CPU = torch.device("cpu")


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceilings and times without measuring; every rival has been called once."""
    monkeypatch.setattr(roofline, "measure", lambda device, quick: {"copy": 10.0, "fp32": 100.0, "bf16": 100.0})
    monkeypatch.setattr(bench.timing, "sample", lambda call, repeats, device: 2e-6)


def planted(device, quick):
    yield Case("one", {"ours": lambda: 1, "theirs": lambda: 2}, traffic=5000, flops=10)
    yield "two", {"ours": lambda: 1}  # without a place under the roofline


def test_every_bench_is_of_an_op():
    assert "asgld" in bench.BENCHES
    assert set(bench.BENCHES) <= {op.rstrip("_").removesuffix("_backward") for op in OPS}


@pytest.mark.parametrize("op", bench.BENCHES)
def test_cases_have_names_counts_and_rivals_that_run(op):
    cases = list(bench.cases_of([op])[op](CPU, True))
    assert cases and len({case.name for case in cases}) == len(cases)
    for case in cases:
        assert case.traffic > 0 and len(case.rivals) > 1
        assert case.flops > 0 or op == "philox_integers"  # whose arithmetic is of integers
        assert all(bench.works(name, call) for name, call in case.rivals.items())


@pytest.mark.parametrize("op", ["quantile_huber", "implicit_quantiles", "perceptron", "reverse_chain"])
def test_rivals_compute_what_ours_does(op):
    for case in bench.cases_of([op])[op](CPU, True):
        tolerance = 0.05 if "bfloat16" in case.name else 1e-4
        ours, *theirs = (call() for call in case.rivals.values())
        for other in theirs:
            if op == "implicit_quantiles" and len(ours) > 1:
                other[1][ours[1] == 0] = 0  # by psi, where it is zero: the ReLU before it would stop that gradient
            if op == "perceptron" and len(other) > len(ours):  # network by network, weights as nn.Linear has them
                params = [torch.stack(other[1 + k :: 6]) for k in range(6)]
                other = [other[0], *(p.mT if p.dim() == 3 else p for p in params)]
            torch.testing.assert_close([*other], [*ours], rtol=tolerance, atol=tolerance, check_dtype=False)


@pytest.mark.parametrize("step", ["eager", "foreach"])
def test_asgld_is_what_its_rivals_do_without_noise(step, monkeypatch):
    asgld = importlib.import_module("pyslsac.experiments.cases.asgld")
    monkeypatch.setattr(asgld, "SIGMA", 0.0)
    params = asgld.parameters([(40, 30), (7,)], CPU)
    for param in params:
        param.grad *= 1000  # so that the clip bites
    copies, moments = [p.detach().clone() for p in params], [[torch.zeros_like(p) for p in params] for _ in range(2)]
    optimizer = asgld.ASGLD(params, seed=0)
    for _ in range(3):
        optimizer.step(noise=False)
        getattr(asgld, step)(copies, [p.grad for p in params], *moments)
    for param, copy in zip(params, copies, strict=True):
        torch.testing.assert_close(param.detach(), copy, rtol=1e-5, atol=1e-6)


def test_results_are_kept_beside_those_of_other_ops(instant, tmp_path):
    out = tmp_path / "new" / "kept.json"
    found = list(bench.run({"first": planted}, "cpu", quick=True, out=out))
    assert [name for name, _ in found] == ["first: one", "first: two"]
    assert found[0][1]["roofline"] == {"bytes": 5000, "flops": 10, "bound": "copy", "fraction": pytest.approx(0.25)}
    assert "roofline" not in found[1][1]
    list(bench.run({"second": planted}, "cpu", quick=True, out=out))
    kept = json.loads(out.read_text())
    assert kept["device"] == bench.device_name(CPU)
    assert [*kept["benches"]] == ["first", "second"]
    first = kept["benches"]["first"]
    assert {"commit", "torch", "threads", "capability", "date", "cases"} <= first.keys()
    assert first["ceilings"] == {"copy": 10.0, "fp32": 100.0, "bf16": 100.0}
    assert first["cases"]["one"]["ratio"]["theirs"]["median"] == 1.0
    assert [path.name for path in out.parent.iterdir()] == ["kept.json"]
    folder = bench.write(tmp_path, "third", {}, CPU)
    assert folder.parent == tmp_path and json.loads(folder.read_text())["benches"].keys() == {"third"}


@pytest.mark.parametrize("text", ['{"device": "another", "benches": {}}', '{"a": 1}', "{"])
def test_a_file_of_something_else_is_left_alone(text, tmp_path):
    out = tmp_path / "kept.json"
    out.write_text(text)
    with pytest.raises(ValueError, match=r"kept\.json"):
        next(bench.run({"first": planted}, "cpu", quick=True, out=out))
    assert out.read_text() == text


def test_what_torch_cannot_compile_is_left_out_and_said(instant, capsys):
    def uncompilable():
        raise TorchDynamoException("no compiler for this\nand a long story")

    def broken():
        raise RuntimeError("a defect")

    cases = {"op": lambda device, quick: [Case("x", {"ours": int, "compiled": uncompilable})]}
    ((_, result),) = bench.run(cases, "cpu", quick=True)
    assert [*result["us"]] == ["ours"]
    assert "left out: compiled: no compiler for this\n" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="a defect"):
        list(bench.run({"op": lambda device, quick: [Case("x", {"ours": int, "other": broken})]}, "cpu"))


def test_on_cuda_a_case_is_timed_as_a_graph_too(instant, monkeypatch, capsys):
    def graphed(call, device):
        if call is float:
            raise RuntimeError("operation not permitted when stream is capturing")
        return call

    monkeypatch.setattr(bench.timing, "graphed", graphed)
    ceilings = {"copy": 10.0, "fp32": 100.0, "bf16": 100.0}
    rivals = {"ours": int, "synchronises": float, "theirs": str}
    case = Case("x", rivals, traffic=1000, flops=1, graph=True)
    found = dict(bench.timed(case, torch.device("cuda"), True, ceilings))
    assert [*found] == ["x", "x, CUDA graph"]
    assert [*found["x, CUDA graph"]["us"]] == ["ours", "theirs"]
    assert found["x, CUDA graph"]["us"]["ours"]["median"] == pytest.approx(found["x"]["us"]["ours"]["median"] / 20)
    assert found["x, CUDA graph"]["roofline"]["fraction"] == pytest.approx(20 * found["x"]["roofline"]["fraction"])
    assert "left out: synchronises, CUDA graph: operation not permitted" in capsys.readouterr().err
    assert [*dict(bench.timed(case._replace(graph=False), torch.device("cuda"), True, ceilings))] == ["x"]
    assert [*dict(bench.timed(case, CPU, True, ceilings))] == ["x"]


def test_the_command_prints_a_table_a_case_and_writes(tmp_path, capsys):
    out = tmp_path / "quick.json"
    assert main(["bench", "philox_normal", "--quick", "--threads", "1", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("philox_normal: 4,096 normals", "torch.randn", "x ours", "roofline", "% of"))
    (kept,) = json.loads(out.read_text())["benches"].values()
    assert kept["threads"] == 1 and kept["cases"]["4,096 normals"]["roofline"]["bytes"] == 4 * 4096


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("bench asgdl", "there is no op asgdl; known: adam, asgld,"),
        ("bench asgld --quick --threads 0", "threads is 0; wanted at least 1"),
        ("bench asgld --quick --device tpu", "wanted cpu, cuda or cuda:N"),
    ],
)
def test_bad_usage_exits_2_with_one_sentence(words, said, capsys):
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused(capsys):
    assert main(["bench", "asgld", "--device", "cuda"]) == 2
    assert "torch finds no GPU" in capsys.readouterr().err


def test_a_named_commit_is_taken(monkeypatch):
    monkeypatch.setenv("PYSLSAC_COMMIT", "abc1234")
    assert bench.facts(CPU)["commit"] == "abc1234"
