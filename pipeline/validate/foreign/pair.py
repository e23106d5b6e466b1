"""The common contract of two model files: their tensors matched, with what the user fixed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.contract.file_samples import Lengths
from pipeline.contract.tensors import Contract, Integers, TensorSpec
from pipeline.errors import MalformedError, UsageError, unknown
from pipeline.runtimes.torchscript import kept_attributes
from pipeline.validate.foreign.inputs import Range, Values, read_values
from pipeline.validate.foreign.model import ForeignModel, OnnxModel, TorchScriptModel
from pipeline.validate.foreign.state import find_states


@dataclass(frozen=True)
class PairChoices:
    """The user's options as typed: ``NAME:NEXT``, ``NAME=VALUES`` and ``NAME=SIZE,…``."""

    states: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The contract that both models share, and how each of them maps to it.

    ``order`` and ``other_order`` are, for the reference and the other model, the indices of the
    contract's inputs in the model's own order. ``other_outputs`` holds, for each output of the
    contract, its index in the other model's results. ``values`` are
    for the inputs whose values the user or a file tells.
    """

    contract: Contract
    values: dict[str, Values]
    order: tuple[int, ...]
    other_order: tuple[int, ...]
    other_outputs: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of the dynamic axes."""
        axes = (axis for item in self.contract.inputs for axis in item.shape)
        return tuple(dict.fromkeys(axis for axis in axes if isinstance(axis, str)))


def make_plan(reference: ForeignModel, other: ForeignModel, choices: PairChoices) -> Plan:
    """Match two models, one of them ONNX, which declares the types and shapes for both.

    Raises:
        MalformedError: their tensors do not correspond, or the state cannot be found.
        UsageError: a choice names a tensor that is not there, or cannot be read.
    """
    graph = reference if isinstance(reference, OnnxModel) else other
    if not isinstance(graph, OnnxModel):
        raise UsageError(
            "two TorchScript files say nothing of types and shapes; compare each with an ONNX file"
        )
    partner = other if graph is reference else reference
    inputs, order = _inputs(graph, partner, {text.rpartition("=")[0] for text in choices.inputs})
    outputs = [item.name for item in graph.outputs]
    notes: list[str] = []
    other_outputs = tuple(range(len(outputs)))
    if isinstance(partner, OnnxModel):
        found = _matched(outputs, [item.name for item in partner.outputs])
        if found is None:
            raise MalformedError(
                f"{graph.path} gives {', '.join(outputs)} and {partner.path} gives "
                f"{', '.join(item.name for item in partner.outputs)}; give two files that give "
                "the same"
            )
        other_outputs = tuple(found.index(index) for index in range(len(outputs)))
        inputs, notes = _agreed(inputs, order, graph, partner)
    inputs = _reshaped(inputs, choices.shapes, graph)
    own = tuple(range(len(graph.inputs)))
    told = dict(read_values(text, inputs) for text in choices.inputs)
    files = (graph, own), (partner, order)
    values = _told_by_tables(inputs, files) | _told_by_files(inputs, files) | told
    states, how = find_states(graph, choices.states)
    notes += [how] if how else []
    return Plan(
        contract=Contract(inputs, graph.outputs, states),
        values=values,
        order=own if graph is reference else order,
        other_order=order if graph is reference else own,
        other_outputs=other_outputs,
        notes=tuple(notes),
    )


def _inputs(
    graph: OnnxModel, partner: ForeignModel, fixed: set[str]
) -> tuple[tuple[TensorSpec, ...], tuple[int, ...]]:
    """All inputs, and the indices of those that ``partner`` takes.

    An input that only one of the two models takes must be in ``fixed``.
    """
    inputs = graph.inputs
    order = _matched(graph.takes, partner.takes, partner.optional)
    if order is None:
        theirs = partner.inputs if isinstance(partner, OnnxModel) else ()
        inputs += tuple(
            item for item in theirs if item.name in fixed and item.name not in graph.takes
        )
        alone = fixed - set(partner.takes)
        order = _matched([item.name for item in inputs], partner.takes, partner.optional, alone)
    if order is None:
        raise MalformedError(
            f"{graph.path} takes {', '.join(graph.takes)} and {partner.path} takes "
            f"{', '.join(partner.takes)}; {_cure(partner)}"
        )
    return inputs, order


def _cure(partner: ForeignModel) -> str:
    """What helps if a graph and ``partner`` take other inputs."""
    kept = kept_attributes(partner.module) if isinstance(partner, TorchScriptModel) else ()
    if kept:
        return (
            f"the latter is TorchScript that keeps {', '.join(kept)} from call to call, and nobody "
            "can give it what the graph is given; compare the graph with another graph, or with a "
            "TorchScript file that takes its states and gives them back"
        )
    return "give two files that take the same, or fix with --input what only one of them takes"


def _matched(
    names: Sequence[str], takes: Sequence[str], optional: int = 0, alone: Iterable[str] = ()
) -> tuple[int, ...] | None:
    """For each of ``takes`` the index in ``names``: by name, the rest in order; None if it fails.

    The last ``optional`` of ``takes`` may be left out, and so may ``alone`` of ``names``.
    """
    used = [index for index, name in enumerate(names) if name not in alone]
    if not 0 <= len(takes) - len(used) <= optional:
        return None
    takes = takes[: len(used)]
    rest = iter([index for index in used if names[index] not in takes])
    return tuple(names.index(name) if name in names else next(rest) for name in takes)


def _agreed(
    inputs: Sequence[TensorSpec], order: Sequence[int], graph: OnnxModel, partner: OnnxModel
) -> tuple[tuple[TensorSpec, ...], list[str]]:
    """The inputs with the sizes that either file fixes, and notes on them."""
    sizes: dict[str, int] = {}
    agreed, notes = list(inputs), []
    for index, theirs in zip(order, partner.inputs, strict=True):
        ours = inputs[index]
        clash = ours.type != theirs.type or len(ours.shape) != len(theirs.shape)
        shape = list(ours.shape)
        for place, (mine, fixed) in enumerate(zip(ours.shape, theirs.shape, strict=False)):
            if isinstance(mine, int) or isinstance(fixed, str):
                clash |= isinstance(mine, int) and isinstance(fixed, int) and mine != fixed
            else:
                clash |= sizes.setdefault(mine, fixed) != fixed
                shape[place] = fixed
        if clash:
            raise MalformedError(
                f"{ours.type} {ours} of {graph.path} is {theirs.type} {theirs} in {partner.path}; "
                "give two files that take the same"
            )
        agreed[index] = ours.model_copy(update={"shape": tuple(shape)})
    for symbol, size in sizes.items():
        notes.append(f"{symbol} is always {size} in {partner.path}, so no other size was tried")
    return _renamed(agreed, dict(sizes)), notes


def _renamed(inputs: Sequence[TensorSpec], axes: dict[str, int | str]) -> tuple[TensorSpec, ...]:
    def new(axis: int | str) -> int | str:
        return axes.get(axis, axis) if isinstance(axis, str) else axis

    return tuple(item.model_copy(update={"shape": tuple(map(new, item.shape))}) for item in inputs)


def _reshaped(
    inputs: tuple[TensorSpec, ...], texts: Iterable[str], graph: OnnxModel
) -> tuple[TensorSpec, ...]:
    """The inputs with the shapes of ``--shape``; other axes of the same name change with them."""
    for text in texts:
        name, _, shape = text.rpartition("=")
        axes = [int(axis) if axis.isdecimal() else axis.strip() for axis in shape.split(",")]
        if not name or not all(
            axis if isinstance(axis, int) else axis.isidentifier() for axis in axes
        ):
            raise UsageError(
                f"--shape {text} is not NAME=SIZE,SIZE; a size is a number from 1 up, or a name "
                "for axes that vary together, as in --shape input=batch,576"
            )
        known = {item.name: item for item in inputs}
        if name not in known:
            raise unknown("input", name, known)
        old = known[name].shape
        fits = len(old) == len(axes) and all(
            isinstance(a, str) or a == b for a, b in zip(old, axes, strict=True)
        )
        if not fits:
            raise UsageError(f"--shape {text} does not fit {known[name]} of {graph.path}")
        inputs = _renamed(
            inputs, {a: b for a, b in zip(old, axes, strict=True) if isinstance(a, str)}
        )
        told = known[name].model_copy(update={"shape": tuple(axes)})
        inputs = tuple(told if item.name == name else item for item in inputs)
    return inputs


def _told_by_tables(
    inputs: Sequence[TensorSpec], files: Iterable[tuple[ForeignModel, Sequence[int]]]
) -> dict[str, Values]:
    """Ranges for the inputs that index a table of weights in an ONNX file."""
    sizes: dict[str, int] = {}
    for model, order in files:
        if isinstance(model, OnnxModel):
            for index, theirs in zip(order, model.takes, strict=False):
                if size := model.table_sizes.get(theirs, 0):
                    name = inputs[index].name
                    sizes[name] = min(size, sizes.get(name, size))
    return {name: Range(0, size - 1, integers=True) for name, size in sizes.items()}


def _told_by_files(
    inputs: Sequence[TensorSpec], files: Iterable[tuple[ForeignModel, Sequence[int]]]
) -> dict[str, Values]:
    """The values of inputs by the metadata of the ONNX file."""
    found: dict[str, Values] = {}
    for model, order in files:
        if not isinstance(model, OnnxModel):
            continue
        # Axes may have got other names, or sizes, since the file was read.
        axes: dict[int | str, int | str] = {
            before: after
            for index, theirs in zip(order, model.inputs, strict=False)
            for before, after in zip(theirs.shape, inputs[index].shape, strict=True)
        }
        for index, name in zip(order, model.takes, strict=False):
            sample = model.samples.get(name)
            if isinstance(sample, Lengths):
                axis = axes.get(sample.of, sample.of)
                found[inputs[index].name] = sample.model_copy(update={"of": axis})
            elif isinstance(sample, Integers) and isinstance(sample.most, int):
                found[inputs[index].name] = Range(sample.least, sample.most, integers=True)
    return found
