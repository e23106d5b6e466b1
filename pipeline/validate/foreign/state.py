"""The search for state pairs: which output of a graph is the next value of which input."""

import re
from collections.abc import Callable, Iterable, Sequence

from pipeline.contract.tensors import TensorSpec
from pipeline.errors import MalformedError, UsageError, unknown
from pipeline.validate.foreign.model import OnnxModel

STATELESS = "none"  # value of --state for models without a state
_TIME = re.compile(r"time|seq|len|frame|step|^t$", re.IGNORECASE)
_BATCH = re.compile(r"batch|^[bn]$", re.IGNORECASE)

# Words of a name that tell before from after, and not one state from another: h_in and h_out are h.
_BEFORE = {"in", "input", "past", "prev", "previous", "old", "init", "initial", "start"}
_AFTER = {"out", "output", "next", "present", "new", "n", "y", "final", "last", "updated"}
_SHORT = {"hx": "h", "hn": "h", "hy": "h", "cx": "c", "cn": "c", "cy": "c"}


def first_like(kind: str, symbols: Iterable[str]) -> str | None:
    """The first axis whose name is one for ``batch`` or for ``time``."""
    pattern = {"batch": _BATCH, "time": _TIME}[kind]
    return next((symbol for symbol in symbols if pattern.search(symbol)), None)


def find_states(graph: OnnxModel, told: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], str]:
    """The state pairs of a graph, in the order of its inputs, and a note if there are none.

    They are as told, or else found by their names, or else by their shapes.
    """
    if STATELESS in told:
        if len(told) > 1:
            raise UsageError(f"--state {STATELESS} says that there is no state; name no other")
        return (), ""
    ins = [item.name for item in graph.inputs]
    outs = [item.name for item in graph.outputs]
    if told:
        pairs = [_told(text, ins, outs) for text in told]
        if len({a for a, _ in pairs}) < len(pairs) or len({b for _, b in pairs}) < len(pairs):
            raise UsageError(f"--state {' --state '.join(told)} uses a tensor twice")
    else:
        pairs = _by_name(graph) or _by_shape(graph)
    note = "" if pairs else "no input and output can be a state, so none is carried on"
    return tuple(sorted(pairs, key=lambda pair: ins.index(pair[0]))), note


def _told(text: str, ins: Sequence[str], outs: Sequence[str]) -> tuple[str, str]:
    """The input and the output in ``NAME:NEXT``; the names themselves may contain colons."""
    parts = text.split(":")
    cuts = [(":".join(parts[:i]), ":".join(parts[i:])) for i in range(1, len(parts))]
    if not cuts or not all(cuts[0]):
        raise UsageError(f"--state {text} is not NAME:NEXT, an input and an output")
    before, after = next((cut for cut in cuts if cut[0] in ins and cut[1] in outs), cuts[0])
    if before not in ins:
        raise unknown("input", before, ins)
    if after not in outs:
        raise unknown("output", after, outs)
    return before, after


def _by_name(graph: OnnxModel) -> list[tuple[str, str]]:
    """Pairs that are found by name: state and stateN, h0 and hn, past_x and present_x, …"""
    pairs: dict[str, str] = {}
    steps: list[tuple[Callable[[str], tuple[str, ...]], Callable[[str], tuple[str, ...]]]] = [
        (lambda name: _stem(name, _BEFORE), lambda name: _stem(name, _AFTER)),
        (lambda name: _stem(name, _BEFORE | {"0"}), lambda name: _stem(name, _AFTER | {"1"})),
    ]
    for stem_before, stem_after in steps:
        for before in graph.inputs:
            matches = [
                after.name
                for after in graph.outputs
                if stem_before(before.name) == stem_after(after.name) != ()
                and before.name not in pairs
                and after.name not in pairs.values()
                and _alike(before, after)
            ]
            if len(matches) == 1:
                pairs[before.name] = matches[0]
    return list(pairs.items())


def _stem(name: str, marks: set[str]) -> tuple[str, ...]:
    """The words of a name without ``marks``: stateN is (state,), past_key.0 is (key, 0).

    A name of nothing but marks keeps its last word, so that input and output are no pair.
    """
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)
    lower = [_SHORT.get(word.lower(), word.lower()) for word in words]
    return tuple(word for word in lower if word not in marks) or tuple(lower[-1:])


def _alike(before: TensorSpec, after: TensorSpec) -> bool:
    """Whether an output fits an input; a dynamic axis fits any, and so does a missing shape."""
    return before.type == after.type and (
        not after.shape
        or (
            len(before.shape) == len(after.shape)
            and all(
                a == b or isinstance(a, str) or isinstance(b, str)
                for a, b in zip(before.shape, after.shape, strict=True)
            )
        )
    )


def _by_shape(graph: OnnxModel) -> list[tuple[str, str]]:
    """Pairs of the same type and shape without a time axis, if they are unambiguous."""
    found = {
        before.name: [
            after.name
            for after in graph.outputs
            if _alike(before, after)
            and len(before.shape) == len(after.shape) > 0
            and not first_like("time", map(str, (*before.shape, *after.shape)))
        ]
        for before in graph.inputs
    }
    found = {before: afters for before, afters in found.items() if afters}
    listed = (
        f"inputs {', '.join(map(str, graph.inputs))}; outputs {', '.join(map(str, graph.outputs))}"
    )
    unknown_shape = any(
        not after.shape and before.shape and before.type == after.type
        for before in graph.inputs
        for after in graph.outputs
    )
    if not unknown_shape and (not found or len(graph.inputs) == 1):
        return []  # a state would be beside an input
    if not found:
        raise MalformedError(
            f"no state is to be found in {graph.path}: {listed}; name a pair with --state "
            f"INPUT:OUTPUT, or say --state {STATELESS}"
        )
    afters = [after for several in found.values() for after in several]
    once = len(set(afters)) == len(afters) == len(found)
    if not once or len(found) == len(graph.inputs):
        could = ", ".join(f"{before} → {' or '.join(after)}" for before, after in found.items())
        raise MalformedError(
            f"the state of {graph.path} could be {could}; name each pair with --state "
            f"INPUT:OUTPUT, or say --state {STATELESS} ({listed})"
        )
    return [(before, after) for before, (after,) in found.items()]
