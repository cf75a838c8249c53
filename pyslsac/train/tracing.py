"""A function of tensors as a graph of its operators, which torch's interpreter runs without Python."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from pyslsac.train.simplify import simplify

ONE_BY_ONE = {  # on a CPU the first are loops over the second
    torch.ops.aten._foreach_mul_.List: torch.ops.aten.mul_.Tensor,
    torch.ops.aten._foreach_add_.Scalar: torch.ops.aten.add_.Scalar,
    torch.ops.aten._foreach_lerp_.Scalar: torch.ops.aten.lerp_.Scalar,
}

EFFECTS = torch.library.Library("pyslsac_graph", "DEF")


def recorded(function: Callable[..., Any], inputs: list[Tensor], read: Sequence[Tensor] = ()) -> Callable[..., Any]:
    """`function` of tensors, which runs once, as a graph of its operators. Of tensors in `read` no copies are made."""
    from torch.fx.experimental.proxy_tensor import make_fx  # here, for it takes as long to import as all else

    module = make_fx(function)(*inputs)
    for name, value in list(vars(module).items()):
        if isinstance(value, Tensor):  # else it counts as a constant, and constants of one value as one
            delattr(module, name)
            module.register_buffer(name, value)
    known = {tensor.data_ptr() for tensor in read}
    moved = [value for value in (*module.parameters(), *module.buffers()) if value.data_ptr() not in known]
    simplify(module)
    for node in reversed(module.graph.nodes):
        _suit(node)
    _write(module)
    module.recompile()
    return _interpreted(module, inputs, moved)


def _write(module: torch.fx.GraphModule) -> None:
    """Let `module` write to a tensor: where none may have changed, torch's interpreter makes one list of two alike.

    A stable operator (torch 2.13) takes the tensors out of its list, and the next one finds it empty. This keeps lists
    of parameters and inputs apart; one of tensors that the graph itself made must not go to two such operators.
    """
    module.register_buffer("written", torch.zeros(()))
    with module.graph.inserting_before(next(iter(module.graph.nodes))):
        module.graph.call_function(torch.ops.aten.zero_.default, (module.graph.get_attr("written"),))


def _suit(node: torch.fx.Node) -> None:
    """Change `node` for torch's interpreter, which sees no writes to lists of tensors and would drop such a call."""
    graph, name = node.graph, str(node.target)
    if name.startswith("profiler"):
        graph.erase_node(node)
    elif node.target in ONE_BY_ONE:
        tensors, *arguments = cast(Any, node.args)
        for i, tensor in enumerate(tensors):
            others = [each[i] if isinstance(each, (list, tuple)) else each for each in arguments]
            with graph.inserting_before(node):
                graph.call_function(ONE_BY_ONE[node.target], (tensor, *others), node.kwargs)
        graph.erase_node(node)
    elif isinstance(node.target, torch._ops.OpOverload) and re.search(r"!\)\[", str(node.target._schema)):
        node.target = with_effects(node.target)


@functools.cache
def with_effects(op: torch._ops.OpOverload) -> torch._ops.OpOverload:
    """`op`, which writes to lists of tensors, under a name by which the interpreter keeps its calls.

    Our own compiled ops bring their kernels for these names (`csrc/bind`); the others' calls go through Python.
    """
    name = op.name().replace("::", "_").replace(".", "_")
    arguments = re.sub(r"\(\w+!\)", "", str(op._schema).split("(", 1)[1].rsplit(" -> ", 1)[0])
    EFFECTS.define(f"{name}({arguments} -> ()", alias_analysis="CONSERVATIVE")
    EFFECTS.impl(name, op, "CompositeExplicitAutograd")
    return getattr(torch.ops.pyslsac_graph, name).default


def _interpreted(module: torch.fx.GraphModule, inputs: list[Tensor], moved: list[Tensor]) -> Callable[..., Any]:
    """The module for torch's interpreter, which runs it once to see it. What is `moved` by that is put back."""
    copies = [(value, value.detach().clone()) for value in moved]
    with torch.no_grad():
        graph = torch.jit.trace(module, tuple(inputs), check_trace=False)
        for value, copy in copies:
            value.copy_(copy)

    def run(*tensors: Tensor) -> Any:
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():  # autograd has its say in every operator else
            return graph(*tensors)

    return run
