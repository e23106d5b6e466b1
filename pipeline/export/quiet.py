"""Messages of PyTorch's exporters kept from the user, in the thread that exports alone."""

import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, TextIO, cast

from pipeline.export.switch import Switch

_LOGGERS = (
    "torch.onnx",
    "torch.onnx._internal.exporter._registration",  # which is imported by the first export alone
    "torch.fx.experimental.symbolic_shapes",
    "onnxscript",
    "onnxscript.optimizer._constant_folding",  # of which the same is so
)


def _hide_messages(switch: Switch) -> Callable[[], None]:
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

    def __init__(self, stream: TextIO, switch: Switch) -> None:
        self._stream, self._switch = stream, switch

    def write(self, text: str) -> int:
        return len(text) if self._switch.is_on else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _hide_stderr(switch: Switch) -> Callable[[], None]:
    before, ours = sys.stderr, _Stderr(sys.stderr, switch)
    sys.stderr = cast(TextIO, ours)

    def remove() -> None:
        if sys.stderr is ours:
            sys.stderr = before

    return remove


_MESSAGES, _STDERR = Switch(_hide_messages), Switch(_hide_stderr)


def quiet_exporter() -> AbstractContextManager[None]:
    """A block without torch's deprecation, tracer and registry messages."""
    return _MESSAGES.block()


def without_stderr() -> AbstractContextManager[None]:
    """A block in which torch does not print a graph that it gives up."""
    return _STDERR.block()
