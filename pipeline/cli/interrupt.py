"""Ctrl-C that waits until what is at hand is whole."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C was pressed; the second one interrupts at once.

    Where Ctrl-C does not interrupt Python anyway, it stays as it is.
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
    except ValueError:  # not the main thread, which alone gets Ctrl-C
        before = None
    try:
        yield lambda: pressed
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
