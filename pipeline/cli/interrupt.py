"""Ctrl-C that waits until the step in progress is done."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed; a second press interrupts at once.

    If Ctrl-C has another handler than Python's own, that handler stays.
    """
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, press)
    except ValueError:  # only the main thread may set a handler
        before = None
    try:
        yield lambda: pressed
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
