"""A stream: one model, called repeatedly, and the states that each call passes to the next."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from pipeline.contract.tensors import Tensors
from pipeline.errors import UsageError, unknown
from pipeline.run.arguments import Sizes, check_array, check_arrays
from pipeline.run.graph import Graph


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
        self._graph, self._batch = graph, batch
        self._contract = graph.contract
        self._outputs = [spec.name for spec in graph.contract.data_outputs]
        self._read_on = [after for _, after in graph.contract.states]
        self._states: Tensors = {}
        self.reset()

    @property
    def batch(self) -> int:
        """The number of sequences that are read side by side."""
        return self._batch

    def __call__(self, x: ArrayLike | None = None, /, **inputs: ArrayLike) -> Any:
        """The output ``[batch, time, …]`` for the next piece ``x`` ``[batch, time, …]``.

        A model of several inputs takes them by name, and one of several outputs gives a mapping
        from names to arrays. A text model also takes a ``str``, which is converted to its code
        points ``[1, time]``. If an error is raised, the states stay as they were.

        Raises:
            UsageError: an input is missing, or has a name that the model does not know.
            MalformedError: an input does not fit the contract, or the graph cannot be run.
        """
        specs = self._contract.data_inputs
        if x is not None:
            if len(specs) > 1:
                known = ", ".join(spec.name for spec in specs)
                raise UsageError(f"{self._graph.name} has several inputs; give {known} by name")
            inputs = {specs[0].name: x, **inputs}
        given = check_arrays(specs, inputs, self._graph.name, self._sizes())
        names = [*self._outputs, *self._read_on]
        made = dict(zip(names, self._graph.call({**given, **self._states}, names), strict=True))
        self._keep({before: made.pop(after) for before, after in self._contract.states})
        return made[self._outputs[0]] if len(self._outputs) == 1 else made

    @property
    def state(self) -> Any:
        """The state ``[batch, …]`` after everything read so far; the array is read-only.

        If the model has several states, this is a mapping from the names of their inputs to such
        arrays. Set it to continue from another state, which may come from another stream or
        process.
        """
        return next(iter(self._states.values())) if len(self._states) == 1 else dict(self._states)

    @state.setter
    def state(self, state: ArrayLike | Mapping[str, ArrayLike]) -> None:
        names = list(self._states)
        if isinstance(state, Mapping):
            given = dict(state)
        elif len(names) == 1:
            given = {names[0]: state}
        else:
            raise UsageError(f"{self._graph.name} has several states; give {', '.join(names)}")
        if wrong := sorted(given.keys() ^ set(names)):
            raise unknown(f"state of {self._graph.name}", wrong[0], names)
        specs, sizes = {spec.name: spec for spec in self._contract.inputs}, self._sizes()
        self._keep(
            {
                name: check_array(specs[name], given[name], self._graph.name, sizes).copy()
                for name in names
            }
        )

    def reset(self) -> None:
        """Set the states back to the initial ones."""
        self._keep(self._graph.initial(self._batch))

    def copy(self) -> "Stream":
        """An independent stream that continues from the present states."""
        twin = Stream(self._graph, self._batch)
        twin._states = self._states  # read-only arrays, so both may share them
        return twin

    def _sizes(self) -> Sizes:
        return {} if self._contract.batch is None else {self._contract.batch: self._batch}

    def _keep(self, states: Tensors) -> None:
        for array in states.values():
            array.flags.writeable = False
        self._states = states

    def __repr__(self) -> str:
        states = "; ".join(
            f"{name} {array.dtype} [{', '.join(map(str, array.shape))}]"
            for name, array in self._states.items()
        )
        return f"Stream of {self._graph.name}: batch {self._batch}, {states}"
