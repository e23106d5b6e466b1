"""What a network is, from the names and shapes of its weights alone.

``weight_ih`` has a row for every gate and unit, so the number of gates tells the cell
(https://pytorch.org/docs/stable/nn.html#recurrent-layers).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.cells import BY_GATES, ENTRIES, Cell
from pipeline.config import Record
from pipeline.errors import MalformedError, UsageError, either, unknown
from pipeline.importer.state_dict import RECURRENT

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

_NO_LAYER = re.compile(r"loss|criterion|metric", re.IGNORECASE)  # modules beside the network
_ELSEWHERE = "export such a module from Python, with pipeline.export.export_onnx"


class Stack(Record):
    """Recurrent layers as one module of ``torch.nn`` has them, or one cell."""

    name: str
    cell: Cell
    input_size: int
    hidden_size: int
    proj_size: int
    num_layers: int
    bidirectional: bool
    bias: bool
    is_cell: bool  # a cell of torch.nn, of one layer and without a number

    @property
    def columns(self) -> int:
        """Of what the head reads."""
        return (self.proj_size or self.hidden_size) * (2 if self.bidirectional else 1)

    def describe(self) -> str:
        """In a few words, for a message."""
        ways = "bidirectional " if self.bidirectional else ""
        return (
            f"'{self.name}' ({ways}{self.cell.upper()}, {self.input_size} → "
            f"{self.num_layers} × {self.hidden_size})"
        )

    def weights(self) -> dict[str, Shape]:
        """Names and shapes of its weights, as in a state dict."""
        gates = len(ENTRIES[self.cell].gates) * self.hidden_size
        h = self.proj_size or self.hidden_size
        shapes: dict[str, Shape] = {}
        for layer in range(self.num_layers):
            width = self.columns if layer else self.input_size
            for reverse in ("", "_reverse")[: 2 if self.bidirectional else 1]:
                end = "" if self.is_cell else f"_l{layer}{reverse}"
                shapes[f"weight_ih{end}"] = (gates, width)
                shapes[f"weight_hh{end}"] = (gates, h)
                if self.bias:
                    shapes[f"bias_ih{end}"] = shapes[f"bias_hh{end}"] = (gates,)
                if self.proj_size:
                    shapes[f"weight_hr{end}"] = (self.proj_size, self.hidden_size)
        dot = f"{self.name}." if self.name else ""
        return {dot + name: shape for name, shape in shapes.items()}


class Architecture(Record):
    """An embedding if there is one, recurrent layers, and a linear head; names as in the file."""

    stack: Stack
    embedding: str | None
    embedding_rows: int
    head: str
    head_bias: bool
    outputs: int
    left_out: tuple[str, ...]  # weights of stacks that were not chosen

    @property
    def weights(self) -> list[str]:
        """The names of all weights that belong to it."""
        head = [weight_of(self.head)] + ([bias_of(self.head)] if self.head_bias else [])
        table = [] if self.embedding is None else [weight_of(self.embedding)]
        return [*table, *self.stack.weights(), *head]


def understand(
    path: Path, shapes: Shapes, recurrent: str | None = None, embedding: str | None = None
) -> Architecture:
    """The one architecture that the weights in ``path`` have.

    ``recurrent`` and ``embedding`` name the layer that is meant where several could be.

    Raises:
        UsageError: there are several, and none is named; all are listed.
        MalformedError: weights are missing, left over or contradictory; all are listed.
    """
    stacks = _stacks(shapes)
    name = _choose_stack(path, stacks, recurrent)
    stack, faults = _read_stack(name, stacks[name])
    others = {key: shape for key, shape in shapes.items() if not RECURRENT.fullmatch(key)}
    if stack is None:
        raise _contradiction(path, faults)
    explanations = _explanations(stack, others, embedding)
    if not explanations or faults:
        raise _contradiction(path, [*faults, *_unexplained(stack, others, bool(explanations))])
    if len(explanations) > 1:
        names = either(str(table) for table, _ in explanations)
        raise UsageError(f"{path}: the embedding could be {names}; choose by --embedding")
    table, head = explanations[0]
    return Architecture(
        stack=stack,
        embedding=table,
        embedding_rows=0 if table is None else others[weight_of(table)][0],
        head=head,
        head_bias=bias_of(head) in others,
        outputs=others[weight_of(head)][0],
        left_out=tuple(key for other, parts in stacks.items() if other != name for key in parts),
    )


def _stacks(shapes: Shapes) -> dict[str, dict[str, Shape]]:
    """The weights of each stack of recurrent layers, by the name of the stack."""
    stacks: dict[str, dict[str, Shape]] = {}
    for key, shape in shapes.items():
        if match := RECURRENT.fullmatch(key):
            stacks.setdefault(match["stack"] or "", {})[key] = shape
    return stacks


def _choose_stack(
    path: Path, stacks: Mapping[str, Mapping[str, Shape]], recurrent: str | None
) -> str:
    if recurrent is not None:
        if recurrent not in stacks:
            raise unknown(f"stack of recurrent layers in {path}", recurrent, stacks)
        return recurrent
    if len(stacks) > 1:
        described = []
        for name, parts in stacks.items():
            stack, _ = _read_stack(name, parts)
            described.append(stack.describe() if stack else f"'{name}'")
        raise UsageError(
            f"{path} has several stacks of recurrent layers: {', '.join(described)}; choose one by "
            f"--recurrent, or {_ELSEWHERE}"
        )
    return next(iter(stacks))


def _read_stack(name: str, parts: Mapping[str, Shape]) -> tuple[Stack | None, list[str]]:
    """The stack that has ``parts``, as far as they say, and what contradicts it."""
    matches = [match for match in map(RECURRENT.fullmatch, parts) if match]
    is_cell = any(match["layer"] is None for match in matches)
    dot, end = f"{name}." if name else "", "" if is_cell else "_l0"
    of_x, of_h, of_p = (parts.get(f"{dot}weight_{kind}{end}") for kind in ("ih", "hh", "hr"))
    if of_x is None or of_h is None:
        absent = [k for k, shape in (("ih", of_x), ("hh", of_h)) if shape is None]
        return None, [f"missing {dot}weight_{kind}{end}" for kind in absent]
    if len(of_x) != 2 or len(of_h) != 2 or (of_p is not None and len(of_p) != 2):
        return None, [f"{dot}weight_ih{end} and its like need two axes, not {list(of_x)}"]
    hidden_size = of_h[1] if of_p is None else of_p[1]
    cell = BY_GATES.get(of_x[0] // hidden_size if hidden_size and not of_x[0] % hidden_size else 0)
    if cell is None:
        return None, [
            f"{dot}weight_ih{end} has {of_x[0]} rows, which are not "
            f"{either(map(str, sorted(BY_GATES)))} times the {hidden_size} units of "
            f"{dot}weight_hh{end}"
        ]
    stack = Stack(
        name=name,
        cell=cell,
        input_size=of_x[1],
        hidden_size=hidden_size,
        proj_size=0 if of_p is None else of_p[0],
        num_layers=len({match["layer"] for match in matches}),
        bidirectional=any(match["reverse"] for match in matches),
        bias=any(match["what"].startswith("bias") for match in matches),
        is_cell=is_cell,
    )
    return stack, list(_differences(stack.weights(), parts))


def _differences(expected: Shapes, found: Shapes) -> Iterator[str]:
    yield from (
        f"missing {key} {list(shape)}" for key, shape in expected.items() if key not in found
    )
    for key, shape in found.items():
        if key not in expected:
            yield f"unexpected {key} {list(shape)}"
        elif shape != expected[key]:
            yield f"{key} is {list(shape)}, not {list(expected[key])}"


def weight_of(layer: str) -> str:
    """The name of a layer's weight in a state dict."""
    return f"{layer}.weight" if layer else "weight"


def bias_of(layer: str) -> str:
    """The name of a layer's bias in a state dict."""
    return f"{layer}.bias" if layer else "bias"


def _layers(others: Shapes, columns: int) -> list[str]:
    """The layers with a matrix of that many columns: linear layers, or embeddings."""
    return [
        key.removesuffix("weight").removesuffix(".")
        for key, shape in others.items()
        if key.rpartition(".")[2] == "weight" and len(shape) == 2 and shape[1] == columns
    ]


def _explanations(
    stack: Stack, others: Shapes, embedding: str | None
) -> list[tuple[str | None, str]]:
    """All choices of embedding and head that leave no weight over."""
    tables = [t for t in _layers(others, stack.input_size) if bias_of(t) not in others]
    found = []
    for table in [None, *tables]:
        for head in _layers(others, stack.columns):
            used = {weight_of(head)} | ({weight_of(table)} if table is not None else set())
            if others.get(bias_of(head)) == (others[weight_of(head)][0],):
                used.add(bias_of(head))
            if table != head and used == set(others) and embedding in (None, table):
                found.append((table, head))
    return found


def _unexplained(stack: Stack, others: Shapes, explained: bool) -> Iterator[str]:
    """What keeps ``others`` from being an embedding and a head."""
    if explained:
        return
    heads = _layers(others, stack.columns)
    if not heads:
        yield f"missing a linear head, a weight with {stack.columns} columns"
    known = {weight_of(head) for head in heads[-1:]} | {bias_of(head) for head in heads[-1:]}
    for key, shape in others.items():
        if key not in known:
            yield f"unexpected {key} {list(shape)}"
        elif len(shape) == 1 and shape != others[weight_of(heads[-1])][:1]:
            yield f"{key} is {list(shape)}, not {list(others[weight_of(heads[-1])][:1])}"


def _contradiction(path: Path, faults: Iterable[str]) -> MalformedError:
    return MalformedError(
        f"{path} is not recurrent layers with an embedding before and a linear head behind: "
        f"{'; '.join(faults)}; leave losses and counters out by --ignore, or {_ELSEWHERE}"
    )


def check_ignored(path: Path, ignored: Shapes, used: Shapes) -> None:
    """Refuse to leave out a layer, since what is left would be another network.

    Weights of a loss or a metric, counters, and a whole copy of the network, as an average of its
    weights is, may be left out.

    Raises:
        MalformedError: ``ignored`` holds the weights of a layer; they are listed.
    """
    if _without_module(ignored) == _without_module(used):
        return
    layers = [f"{key} {list(shape)}" for key, shape in ignored.items() if _of_layer(key, shape)]
    if layers:
        raise MalformedError(
            f"{path} would be another network without {', '.join(layers)}; --ignore is for losses, "
            f"metrics, counters and copies, so {_ELSEWHERE}"
        )


def _of_layer(key: str, shape: Shape) -> bool:
    """Whether a weight is one that numbers go through, as far as its name and shape tell."""
    *modules, last = key.split(".")
    if any(_NO_LAYER.search(module) for module in modules):
        return False
    return len(shape) > 1 or last.startswith(("weight", "bias", "running_"))


def _without_module(shapes: Shapes) -> dict[str, Shape]:
    """The shapes by their names, without the module that all of them lie in."""
    shared = 0
    while len({key.split(".")[shared] for key in shapes}) == 1 and all(
        key.count(".") > shared for key in shapes
    ):
        shared += 1
    return {".".join(key.split(".")[shared:]): shape for key, shape in shapes.items()}
