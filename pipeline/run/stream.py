"""A stream: one model, called repeatedly, and the state that each call passes to the next."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.run.arguments import check_array
from pipeline.run.graph import Graph
from pipeline.signature import BATCH


class Stream:
    """A model that reads one sequence in pieces of any length; made by :meth:`Bundle.stream`.

    The outputs do not depend on where the sequence is cut::

        stream = bundle.stream()
        whole = stream(x)                                          # x is [batch, time, …]
        stream.reset()
        pieces = [stream(x[:, :3]), stream(x[:, 3:])]              # the same numbers

    A stream serves one thread. Streams of the same bundle share the graph and nothing else.
    """

    def __init__(self, graph: Graph, batch: int) -> None:
        assert graph.state is not None
        self._graph, self._pair, self._batch = graph, graph.state, batch
        self._spec = next(spec for spec in graph.inputs if spec.name == self._pair.input)
        [self._input] = [spec for spec in graph.inputs if spec.name != self._pair.input]
        [self._output] = [spec.name for spec in graph.outputs if spec.name != self._pair.output]
        self._state = graph.initial_state(batch)
        self._state.flags.writeable = False

    @property
    def batch(self) -> int:
        """The number of sequences that are read side by side."""
        return self._batch

    def __call__(self, x: ArrayLike) -> NDArray[np.float32]:
        """The output ``[batch, time, …]`` for the next piece ``x`` ``[batch, time, …]``.

        A text model also takes a ``str``, which is converted to its code points ``[1, time]``. If
        an error is raised, the state stays as it was.

        Raises:
            MalformedError: ``x`` does not fit the contract, or the graph cannot be run.
        """
        given = check_array(self._input, x, self._graph.name, {BATCH: self._batch})
        feeds = {self._input.name: given, self._pair.input: self._state}
        made, self._state = self._graph.call(feeds, [self._output, self._pair.output])
        self._state.flags.writeable = False
        return made

    @property
    def state(self) -> NDArray[np.float32]:
        """The state ``[batch, …]`` after everything read so far; the array is read-only.

        Set it to continue from another state, which may come from another stream or process.
        """
        return self._state

    @state.setter
    def state(self, state: ArrayLike) -> None:
        sizes = {BATCH: self._batch}
        self._state = check_array(self._spec, state, self._graph.name, sizes).copy()
        self._state.flags.writeable = False

    def reset(self) -> None:
        """Set the state back to the initial one."""
        self.state = self._graph.initial_state(self._batch)

    def copy(self) -> "Stream":
        """An independent stream that continues from the present state."""
        twin = Stream(self._graph, self._batch)
        twin._state = self._state  # a read-only array, so both may share it
        return twin

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self._state.shape))
        return f"Stream of {self._graph.name}: batch {self._batch}, state float32 [{shape}]"
