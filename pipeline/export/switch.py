"""What is changed for the whole process, yet felt by the threads that asked for it alone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Place(threading.local):
    """How many blocks this thread is in."""

    depth = 0


class Switch:
    """Something of the process that is changed while any thread is in a block.

    The change itself asks :attr:`is_on`, which is so in threads that are in a block. The last
    thread to leave takes the change back, in whatever order they came.
    """

    def __init__(self, install: Callable[["Switch"], Callable[[], None]]) -> None:
        self._install, self._place, self._lock = install, _Place(), threading.Lock()
        self._inside = 0
        self._remove: Callable[[], None]

    @property
    def is_on(self) -> bool:
        """Whether this thread is in a block."""
        return self._place.depth > 0

    @contextmanager
    def block(self) -> Iterator[None]:
        """A block with the change, which blocks may contain and other threads enter, too."""
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
