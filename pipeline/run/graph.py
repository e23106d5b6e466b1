"""A graph of a bundle in ONNX Runtime; its outputs are checked against the contract."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import Bundle
from pipeline.contract.tensors import Contract, Tensors, TensorSpec
from pipeline.errors import MalformedError, UnavailableError, one_line
from pipeline.packages import how_to_install
from pipeline.threads import session_options, weights_in

if TYPE_CHECKING:
    import onnxruntime


@dataclass(frozen=True)
class Graph:
    """A graph that can be called: the tensors of its contract, and a session on the CPU.

    ``name`` is the name of the model, ``file`` the path of the graph in the bundle. ``initial``
    gives the initial states of a number of rows; it has none for a model of whole sequences.
    """

    name: str
    file: str
    contract: Contract
    initial: Callable[[int], Tensors]
    session: "onnxruntime.InferenceSession"

    def call(self, feeds: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        """The outputs ``names`` of one call; ``feeds`` holds every input, already checked.

        Raises:
            MalformedError: the graph cannot be run, or an output does not fit the contract.
        """
        try:
            results: list[NDArray[Any]] = self.session.run(names, dict(feeds))
        except Exception as error:  # its own exceptions have no common class
            raise MalformedError(
                f"{self.file} of {self.name} cannot be run ({one_line(error)}); export it anew"
            ) from error
        sizes: dict[int | str, int] = {}
        for spec in self.contract.inputs:
            sizes.update(zip(spec.shape, feeds[spec.name].shape, strict=True))
        specs = {spec.name: spec for spec in self.contract.outputs}
        for name, found in zip(names, results, strict=True):
            expected = tuple(sizes.get(axis, axis) for axis in specs[name].shape)
            if (found.shape, found.dtype) != (expected, np.dtype(specs[name].type)):
                raise MalformedError(
                    f"{self.file} of {self.name} gives {name} as {found.dtype} "
                    f"{list(found.shape)}, not {specs[name].type} {list(expected)}; export it anew"
                )
        return results

    @property
    def packed_state(self) -> tuple[str, str]:
        """The input and the output of the one state of a built-in network."""
        [pair] = self.contract.states
        return pair


def open_graph(
    bundle: Bundle, file: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> Graph:
    """Open the graph in ``file`` of ``bundle``, with the tensors that the manifest lists for it.

    Raises:
        MalformedError: the file is missing.
        IntegrityError: the file was changed after the export.
        UnsafeError: the file refers to other files, or is a link.
        UnavailableError: ONNX Runtime is not installed, or too old to load the file.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        how = how_to_install("onnxruntime")
        raise UnavailableError(f"onnxruntime is not installed; run {how}") from error
    data = bundle.read(file)
    options = session_options(weights_in(data))
    options.enable_cpu_mem_arena = False  # for the small tensors of a step, malloc is faster
    try:
        session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no common class
        raise UnavailableError(
            f"onnxruntime {onnxruntime.__version__} cannot load {bundle.folder / file} "
            f"({one_line(error)}); install a newer one"
        ) from error
    contract = replace(bundle.manifest.contract, inputs=inputs, outputs=outputs)
    return Graph(bundle.manifest.name, file, contract, bundle.initial_states, session)
