"""A recorded graph with fewer operators and the same bits: without views of the same layout and what is known before.

Tensors that are written to, or that leave the graph, stay what they are. Views may go all the same: any other view of
the same memory sees the same writes.
"""

from __future__ import annotations

from operator import getitem
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import GraphModule, Node, map_arg

aten = torch.ops.aten
LIKE = {aten.ones_like.default, aten.full_like.default, aten.zeros_like.default}  # only the input's shape matters


def simplify(module: GraphModule) -> None:
    """Take from the graph, as make_fx records it, views that show no other layout, and what is always the same.

    The latter are constants, and views of tensors that keep their place: these become buffers of the module.
    """
    known: dict[Node, Tensor] = {}
    for node in [node for node in module.graph.nodes if node.op == "get_attr" or _is_tensor(node)]:
        same = [source for source in _sources(node) if _layout(source) == _layout(node)]
        if same:
            node.replace_all_uses_with(same[-1])
            module.graph.erase_node(node)
        elif _is_known(node, known):
            known[node] = _value(node, known)
    for node in reversed([node for node in known if node.op != "get_attr"]):
        if node.users:  # else they were known, too
            module.register_buffer(f"known_{node.name}", known[node])
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(f"known_{node.name}"))
        module.graph.erase_node(node)


def _sources(node: Node) -> list[Node]:
    """What `node` is a view of, and this of, and so on."""
    sources = [node]
    while _is_view(sources[-1]):
        sources.append(sources[-1].all_input_nodes[0])
    return sources[1:]


def _is_tensor(node: Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor)


def _is_view(node: Node) -> bool:
    """Whether `node` gives some of its input's elements where they are; what may also copy make_fx has resolved."""
    op = node.target
    return isinstance(op, torch._ops.OpOverload) and op.is_view and op is not aten.as_strided.default


def _layout(node: Node) -> tuple[Any, ...]:
    value = node.meta["val"]
    return value.dtype, value.shape, value.stride()


def _is_known(node: Node, known: dict[Node, Tensor]) -> bool:
    """Whether `node` is the same for whatever is put in: of what keeps its place, its place is."""
    if node.op == "get_attr" or _is_view(node):
        return node.op == "get_attr" or node.all_input_nodes[0] in known
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    random = torch.Tag.nondeterministic_seeded in node.target.tags
    constant = all(each in known and not _is_exposed(each) for each in node.all_input_nodes)
    return (node.target in LIKE or constant) and not (random or _is_exposed(node))


def _is_exposed(node: Node) -> bool:
    """Whether the memory of `node` is written to, leaves the graph, or was there before it."""
    node = [node, *_sources(node)][-1]
    nodes = [node]
    for each in nodes:  # and their views, and the views of these
        nodes += [user for user in each.users if _is_view(user) or user.target is getitem]
    users = [user for each in nodes for user in each.users]
    return node.op == "get_attr" or _writes(node) or any(user.op == "output" or _writes(user) for user in users)


def _writes(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _value(node: Node, known: dict[Node, Tensor]) -> Tensor:
    def of(each: Node) -> Tensor:
        value = each.meta["val"]  # of the input of `LIKE`, all that there is
        return known[each] if each in known else torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)

    if node.op == "get_attr":
        return getattr(node.graph.owning_module, str(node.target)).detach()
    with torch.no_grad():
        return cast(Any, node.target)(*map_arg(node.args, of), **map_arg(node.kwargs, of))
