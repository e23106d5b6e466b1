"""Messages of PyTorch's exporters kept from the user, in the thread that exports alone."""

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TextIO, cast

_LOGGERS = (
    "torch.onnx",
    "torch.onnx._internal.exporter._registration",  # which is imported by the first export alone
    "torch.fx.experimental.symbolic_shapes",
    "onnxscript",
    "onnxscript.optimizer._constant_folding",  # of which the same is so
)


class _Place(threading.local):
    """How many blocks this thread is in."""

    depth = 0


class _Switch:
    """Something of the process that is changed while any thread is in a block.

    The change itself asks :attr:`is_on`, which is so in threads that are in a block. The last
    thread to leave takes the change back, in whatever order they came.
    """

    def __init__(self, install: Callable[["_Switch"], Callable[[], None]]) -> None:
        self._install, self._place, self._lock = install, _Place(), threading.Lock()
        self._inside = 0
        self._remove: Callable[[], None]

    @property
    def is_on(self) -> bool:
        return self._place.depth > 0

    @contextmanager
    def block(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._remove = self._install(self)
            self._inside += 1
        self._place.depth += 1
        try:
            yield
        finally:
            self._place.depth -= 1
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._remove()


def _hide_messages(switch: _Switch) -> Callable[[], None]:
    """Ignore warnings and what torch's exporters log."""

    class OfHere(type):
        def __subclasscheck__(cls, subclass: type) -> bool:
            return switch.is_on

    class AnyOfHere(Warning, metaclass=OfHere):
        """Every warning, as long as this thread is the one that exports."""

    def is_shown(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or not switch.is_on

    known = list(logging.root.manager.loggerDict)
    names = {*_LOGGERS, *(name for name in known if name.startswith(_LOGGERS))}
    loggers = [logging.getLogger(name) for name in sorted(names)]
    warnings.simplefilter("ignore", AnyOfHere)
    (added,) = (entry for entry in warnings.filters if entry[2] is AnyOfHere)
    for logger in loggers:
        logger.addFilter(is_shown)

    def remove() -> None:
        with suppress(ValueError):  # others may have put back the filters of before
            warnings.filters.remove(added)  # type: ignore[attr-defined]
        for logger in loggers:
            logger.removeFilter(is_shown)

    return remove


class _Stderr:
    """The standard error stream, without what one thread writes."""

    def __init__(self, stream: TextIO, switch: _Switch) -> None:
        self._stream, self._switch = stream, switch

    def write(self, text: str) -> int:
        return len(text) if self._switch.is_on else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _hide_stderr(switch: _Switch) -> Callable[[], None]:
    before, ours = sys.stderr, _Stderr(sys.stderr, switch)
    sys.stderr = cast(TextIO, ours)

    def remove() -> None:
        if sys.stderr is ours:
            sys.stderr = before

    return remove


_MESSAGES, _STDERR = _Switch(_hide_messages), _Switch(_hide_stderr)


def quiet_exporter() -> AbstractContextManager[None]:
    """A block without torch's deprecation, tracer and registry messages."""
    return _MESSAGES.block()


def without_stderr() -> AbstractContextManager[None]:
    """A block in which torch does not print a graph that it gives up."""
    return _STDERR.block()
