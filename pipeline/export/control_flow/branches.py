"""Python's ``if`` on the values of a tensor, in a graph that has no such thing.

An exporter that traces cannot ask what a tensor holds. Where one way of an ``if`` only raises, or
where it is an ``assert``, the graph goes the other way, as PyTorch does after the question. Where
both ways go on, the graph goes both, and ``torch.where`` chooses between what they give. That is
right for all values, if neither way changes anything that the other sees; what does is refused.

A question is noticed when it is asked; the function that asks is then compiled once more with both
ways as functions (:mod:`pipeline.export.control_flow.forks`), and the export begins again.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import SymBool, SymFloat, SymInt, Tensor, nn
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.nn.utils.rnn import PackedSequence

from pipeline.errors import MalformedError
from pipeline.export.function_mode import Function, FunctionMode

Place = tuple[str, int, int, int]  # file, first line of the function, line from there, column
Result = TypeVar("Result")

_IN_PLACE = {
    "__setitem__", "__iadd__", "__iand__", "__ifloordiv__", "__ilshift__", "__imatmul__",
    "__imod__", "__imul__", "__ior__", "__ipow__", "__irshift__", "__isub__", "__itruediv__",
    "__ixor__",
}  # fmt: skip
_FRESH = {"clone", "empty", "full", "ones", "tensor", "zeros"}  # and new_… and …_like of these
_CURE = "; make both ways alike, or choose with torch.where"


class UndecidedError(Exception):
    """A question that a graph cannot ask, and that cannot be left out."""


class _Asked(BaseException):
    """A question was asked for the first time; no author's ``except`` stops it."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


def with_branches(module: nn.Module, export: Callable[["Branches"], Result]) -> Result:
    """What ``export`` gives, begun again for each question that ``module`` asks of numbers.

    Raises:
        UndecidedError: a question has ways that cannot be made functions.
    """
    branches = Branches(module)
    while True:
        try:
            return export(branches)
        except _Asked as asked:
            if asked.place in branches.places:
                raise UndecidedError from asked
            branches.places.add(asked.place)


class Branches:
    """What compiled functions of ``module`` call where they had an ``if``.

    ``places`` are those at which both ways are functions.
    """

    missing = object()  # in place of a name that has no value yet

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.places: set[Place] = set()

    def passes(self, test: Any, passing: bool) -> Any:
        """A question that only guards: where a graph cannot ask it, the answer that goes on."""
        return passing if _is_open(test) else test

    def decided(self, test: Any, *place: Any) -> Any:
        """The answer to a question, which is asked at ``place``."""
        if _is_open(test):
            raise _Asked((place[0], place[1], place[2], place[3]))
        return test

    def negated(self, test: Any) -> Any:
        """``not test``."""
        return torch.logical_not(test) if _is_open_tensor(test) else not test

    def both(self, test: Any, other: Callable[[], Any]) -> Any:
        """``test and other()``."""
        if not _is_open_tensor(test):
            return test and other()
        answer = other()
        if isinstance(answer, Tensor):
            return torch.logical_and(test, answer)
        return test if answer else torch.zeros_like(test)

    def either(self, test: Any, other: Callable[[], Any]) -> Any:
        """``test or other()``."""
        if not _is_open_tensor(test):
            return test or other()
        answer = other()
        if isinstance(answer, Tensor):
            return torch.logical_or(test, answer)
        return torch.ones_like(test) if answer else test

    def chosen(
        self,
        test: Any,
        yes: Callable[..., Any],
        no: Callable[..., Any],
        known: Mapping[str, Any],
        names: Sequence[str] = (),
    ) -> Any:
        """What ``yes`` or ``no`` gives, called with those of ``names`` that are ``known``.

        Raises:
            MalformedError: both have to be gone, and one changes what the other sees, or they give
                things of different forms.
            UndecidedError: the question is one about a plain number.
        """
        given = {name: known[name] for name in names if name in known}
        if not _is_open(test):
            return (yes if test else no)(**given)
        if not isinstance(test, Tensor):
            raise UndecidedError
        results = []
        for way in (yes, no):
            with self._apart(), _NoWriting():
                lists = {name: _copied(value) for name, value in given.items()}
                results.append(way(**lists))
        return _selected(test.reshape(()).to(torch.bool), *results)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Refuse what changes attributes and buffers of the module."""
        before = [(child, dict(vars(child)), dict(child._buffers)) for child in self._children()]
        yield
        for child, attributes, buffers in before:
            for now, then in ((vars(child), attributes), (child._buffers, buffers)):
                for key in {**now, **then}:
                    if now.get(key) is not then.get(key):
                        raise MalformedError(
                            f"an if on the values of a tensor sets '{key}' of "
                            f"{type(child).__name__} in one way{_CURE}"
                        )

    def _children(self) -> list[nn.Module]:
        return [m for m in self._module.modules() if not isinstance(m, torch.jit.ScriptModule)]


class _NoWriting(FunctionMode):
    """Refuses writing into tensors, but for those that were made meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._fresh: list[Tensor] = []

    def answer(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Look at the name of each function."""
        name = getattr(func, "__name__", "")
        if torch.compiler.is_dynamo_compiling():
            return func(*args, **kwargs)
        writes = name in _IN_PLACE or (name.endswith("_") and not name.endswith("__"))
        target = args[0] if writes and args else kwargs.get("out")
        if isinstance(target, Tensor) and not any(target is fresh for fresh in self._fresh):
            raise MalformedError(
                f"an if on the values of a tensor writes into one in one way, by {name}{_CURE}"
            )
        result = func(*args, **kwargs)
        if name.removeprefix("new_").removesuffix("_like") in _FRESH:
            self._fresh.append(result)
        return result


def _is_open_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) and _is_open(value)


def _is_open(value: Any) -> bool:
    """Whether a graph that is being made leaves ``value`` open."""
    if torch.compiler.is_dynamo_compiling():  # the step of a scan
        return False
    if isinstance(value, SymBool | SymInt | SymFloat):
        return bool(free_unbacked_symbols(value))
    if not isinstance(value, Tensor):
        return False
    if torch._C._get_tracing_state() is not None:
        return _follows_from_inputs(value)
    return torch.compiler.is_exporting()


def _follows_from_inputs(value: Tensor) -> bool:
    """Whether a tensor in a trace depends on numbers of the inputs, not on their sizes alone."""
    trace = torch._C._get_value_trace(value)  # type: ignore[attr-defined]
    reached, left = set(), [trace]
    while left:
        node = left.pop().node()
        if node.kind() == "prim::Param":
            return True
        if node.kind() in ("aten::size", "prim::GetAttr") or node in reached:
            continue
        reached.add(node)
        left.extend(node.inputs())
    return False


def _copied(value: Any) -> Any:
    """A list, set or dictionary of its own, so that a way may add to it."""
    return copy.copy(value) if isinstance(value, list | set | dict) else value


def _selected(test: Tensor, one: Any, other: Any) -> Any:
    """``one`` or ``other``, which are of one form, by the value of ``test``."""
    if one is other:
        return one
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _where(test, one, other)
    if type(one) is type(other) and not isinstance(one, PackedSequence):
        if isinstance(one, tuple | list) and len(one) == len(other):
            parts = [_selected(test, a, b) for a, b in zip(one, other, strict=True)]
            return one._make(parts) if hasattr(one, "_make") else type(one)(parts)
        if isinstance(one, dict):
            return _selected_by_key(test, one, other)
        if dataclasses.is_dataclass(one) and not isinstance(one, type):
            new = copy.copy(one)
            for key, part in _selected_by_key(test, vars(one), vars(other)).items():
                object.__setattr__(new, key, part)
            return new
        if isinstance(one, int | float) and one != other:
            return torch.where(test, one, other)
        if one == other:
            return one
    raise MalformedError(
        f"an if on the values of a tensor gives {_form(one)} in one way and {_form(other)} in the "
        f"other{_CURE}"
    )


def _selected_by_key(
    test: Tensor, one: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, Any]:
    """Names that one way alone sets have no value afterwards."""
    missing = Branches.missing
    keys = [
        key for key in one if one[key] is not missing and other.get(key, missing) is not missing
    ]
    return {key: _selected(test, one[key], other[key]) for key in keys}


def _where(test: Tensor, one: Tensor, other: Tensor) -> Tensor:
    alike = one.dtype == other.dtype and one.dim() == other.dim()
    for a, b in zip(one.shape, other.shape, strict=False):
        if isinstance(a, SymInt) or isinstance(b, SymInt):
            torch._check(a == b)
        else:
            alike = alike and int(a) == int(b)
    if not alike:
        raise MalformedError(
            f"an if on the values of a tensor gives {_form(one)} in one way and {_form(other)} in "
            f"the other{_CURE}"
        )
    return torch.where(test, one, other)


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        sizes = [size if isinstance(size, SymInt) else int(size) for size in value.shape]
        return f"{str(value.dtype).removeprefix('torch.')}{sizes}"
    if isinstance(value, tuple | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value) if isinstance(value, int | float | str | None) else type(value).__name__
