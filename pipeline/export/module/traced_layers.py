"""The recurrent layers that a program of ``torch.export`` calls."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from pipeline.export.graph_checks import RecurrentNode
from pipeline.export.ops import OPERATOR


def traced_layers(program: ExportedProgram) -> tuple[list[RecurrentNode], list[RecurrentNode]]:
    """The recurrent layers as they were called, one by one; and those that differ.

    A layer that is called twice with the same inputs is called once in a graph that was optimized.
    """
    found = [
        (value, _layer(node))
        for node, value in _calls(program.graph_module, [], {})
        if _name(node) in OPERATOR
    ]
    return [layer for _, layer in found], list(dict(reversed(found)).values())[::-1]


def _name(node: Node) -> str:
    return getattr(node.target, "_opname", "")


def _layer(node: Node) -> RecurrentNode:
    target: Any = node.target
    names = [argument.name for argument in target._schema.arguments]
    given: dict[str, Any] = dict(zip(names, node.args, strict=True))
    return RecurrentNode(
        OPERATOR[_name(node)],
        given["hidden_size"],
        given["w"].meta["val"].size(0),
        given["nonlinearity"].capitalize(),
    )


def _calls(
    graph: GraphModule, given: Sequence[int], known: dict[str, int]
) -> Iterator[tuple[Node, int]]:
    """The nodes in order, each with a number that is the same where its value is.

    The nodes of a block, such as that of ``torch.autocast``, come in the place of the block.
    ``given`` has the numbers of the arguments of ``graph``.
    """
    numbers: dict[Node, int] = {}
    arguments = iter(given)
    for node in graph.graph.nodes:
        values = map_arg((node.args, node.kwargs), lambda each: f"%{numbers[each]}")
        number = known.setdefault(f"{node.op} {node.target} {values}", len(known))
        numbers[node] = next(arguments, number) if node.op == "placeholder" else number
        yield node, numbers[node]
        if getattr(node.target, "__name__", "").startswith("wrap_with_"):
            for place, argument in enumerate(node.args):
                block = getattr(graph, str(getattr(argument, "target", "")), None)
                if isinstance(block, GraphModule):
                    yield from _calls(block, [numbers[n] for n in node.args[place + 1 :]], known)
