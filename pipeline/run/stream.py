"""A stream: one model, called again and again, and the state that each call leaves to the next."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.run.arguments import check_array
from pipeline.run.graph import Graph
from pipeline.signature import BATCH


class Stream:
    """A model that reads one sequence in pieces of any length; made by :meth:`Bundle.stream`.

    What comes out does not depend on where the sequence is cut::

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
        """How many sequences are read side by side."""
        return self._batch

    def __call__(self, x: ArrayLike) -> NDArray[np.float32]:
        """The output ``[batch, time, …]`` for the next piece ``x`` ``[batch, time, …]``.

        A text model also takes a ``str``, which stands for its code points ``[1, time]``. Where
        this raises, the state is as it was.

        Raises:
            MalformedError: ``x`` is not as the contract says, or the graph cannot be run.
        """
        given = check_array(self._input, x, self._graph.name, {BATCH: self._batch})
        feeds = {self._input.name: given, self._pair.input: self._state}
        made, self._state = self._graph.call(feeds, [self._output, self._pair.output])
        self._state.flags.writeable = False
        return made

    @property
    def state(self) -> NDArray[np.float32]:
        """The state ``[batch, …]`` after all that was read; read-only, and never changed later.

        Set it to go on from there: a state that was kept, also of another stream or process.
        """
        return self._state

    @state.setter
    def state(self, state: ArrayLike) -> None:
        sizes = {BATCH: self._batch}
        self._state = check_array(self._spec, state, self._graph.name, sizes).copy()
        self._state.flags.writeable = False

    def reset(self) -> None:
        """Go back to the initial state, as if nothing had been read."""
        self.state = self._graph.initial_state(self._batch)

    def copy(self) -> "Stream":
        """A stream that goes on from here on its own."""
        twin = Stream(self._graph, self._batch)
        twin._state = self._state  # which nobody writes into
        return twin

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self._state.shape))
        return f"Stream of {self._graph.name}: batch {self._batch}, state float32 [{shape}]"
