"""The module of a bundle with other weights: its files, and the model to score.

Its Python is not in the bundle. So the weights are changed in its TorchScript and in its graph,
where they are found by their numbers. A weight that is not in both, row by row, is folded into
others, and stays as it is, with all weights of the same layer.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import onnx

from pipeline.bundle.module_reference import load_torchscript, module_reference, reference_of
from pipeline.contract import Bundle
from pipeline.contract.bundle_weights import bundle_weights
from pipeline.contract.files import ONNX_FILE, TORCHSCRIPT_FILE
from pipeline.contract.law import Array
from pipeline.contract.small_weights import SmallWeight
from pipeline.contract.tensors import Tensors
from pipeline.errors import ParityError
from pipeline.export.archive import archive_files, replaced_files
from pipeline.export.called import Called
from pipeline.export.session import Session, cpu_session
from pipeline.variants.calibration import Samples, inputs_of_weights
from pipeline.variants.graph import small_graph
from pipeline.variants.places import places
from pipeline.variants.scores import Scored
from pipeline.variants.subject import Reweighted
from pipeline.verify import Case, Model, Reference, answer, chained, deviations, replay

_SIZES = ((1, 1), (1, 7), (4, 1), (5, 13))  # batch and steps of the comparisons


class ModuleToStore:
    """The module of a float32 ``bundle``, whose TorchScript must be one that may run."""

    last = None
    biases: Mapping[str, str] = MappingProxyType({})

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._torchscript, self._graph = bundle.read(TORCHSCRIPT_FILE), bundle.read(ONNX_FILE)
        arrays = bundle_weights(bundle).arrays
        floats = {name: y for name, y in sorted(arrays.items()) if y.dtype == np.float32}
        matrices = {name: y for name, y in floats.items() if y.ndim > 1}
        by_content: dict[bytes, list[str]] = {}
        for file, content in archive_files(self._torchscript).items():
            by_content.setdefault(content, []).append(file)
        self._files = {
            name: by_content[y.tobytes()]
            for name, y in matrices.items()
            if y.tobytes() in by_content
        }
        held = {name: matrices[name] for name in self._files}
        found = places(onnx.load_from_string(self._graph), held)
        placed = {name for place in found.values() for name in place.names}
        folded = {_layer(name) for name in matrices.keys() - placed}
        self.weights: dict[str, Array] = {
            name: y for name, y in held.items() if name in placed and _layer(name) not in folded
        }

    @property
    def scored(self) -> Scored:
        """What the module with other weights is scored on."""
        return Scored(module_reference(self.bundle))

    def inputs(self, calls: Sequence[Tensors]) -> dict[str, Samples]:
        """The vectors that the matrices of layers and products are multiplied with."""
        found = places(onnx.load_from_string(self._graph), self.weights)
        return inputs_of_weights(self._graph, found, calls)

    def before_last(self, weights: Mapping[str, Array], calls: Sequence[Tensors]) -> Samples:
        """Never called: which layer is the last is not known."""
        raise AssertionError

    def model(self, weights: Mapping[str, Array]) -> Model:
        """The TorchScript with ``weights``."""
        return Called(load_torchscript(self._program(weights)))

    def files(self, weights: Mapping[str, SmallWeight]) -> Reweighted:
        """The files of the module with ``weights``.

        Raises:
            ParityError: a file gives other numbers than the TorchScript with these weights.
        """
        onnx_file = small_graph(self._graph, weights, self.weights)
        torchscript_file = self._program({name: one.values for name, one in weights.items()})
        reference = self._reference(torchscript_file)
        _check(onnx_file, reference)
        return Reweighted(onnx_file, torchscript_file, {}, reference)

    def _program(self, weights: Mapping[str, Array]) -> bytes:
        """The TorchScript with other ``weights``; its code stays as it is."""
        files = {file: y.tobytes() for name, y in weights.items() for file in self._files[name]}
        return replaced_files(self._torchscript, files)

    def _reference(self, file: bytes) -> Reference:
        manifest = self.bundle.manifest
        assert manifest.module is not None
        twin = load_torchscript(file).double() if manifest.module.float64 else None
        return reference_of(
            manifest.contract,
            manifest.axes,
            load_torchscript(file),
            twin,
            self.bundle.initial_states,
            self.bundle.held_out(),
        )


def _layer(name: str) -> str:
    """The part of a module that a weight belongs to."""
    return name.rpartition(".")[0]


def _check(onnx_file: bytes, reference: Reference) -> None:
    model, contract = Session(cpu_session(onnx_file)), reference.contract
    for batch, steps in _SIZES:
        for start in ("initial", "carried"):
            pieces = reference.pieces(batch, [steps])
            states = reference.initial(reference.batch_of(pieces[0]))
            if start == "carried":
                last = chained(reference.model, contract, pieces, states)[-1]
                states = {before: last[after] for before, after in contract.states}
            case = Case(start, tuple(pieces), states, batch=batch, time=steps)
            truth = answer(contract, case, reference.model, reference.twin)
            found = replay(model, truth.contract, truth.case)
            for name, calls in deviations(found, truth).items():
                if not all(call.within for call in calls):
                    raise ParityError(
                        f"ONNX gives another {name} than PyTorch with the same weights at batch "
                        f"{batch}, {steps} steps; the variant was not written"
                    )
