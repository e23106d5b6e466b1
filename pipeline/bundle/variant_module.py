"""The module of a bundle with other weights: its files, and the model to score.

Its Python is not in the bundle. So the weights are changed in its TorchScript and in its graph,
where they are found by their numbers. A weight that is not in both, row by row, is folded into
others, and stays as it is. So do those that it may have been folded with: weights of its layer are
free only where both files still agree when these alone are changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import onnx

from pipeline.bundle.module_reference import load_torchscript, module_reference, reference_of
from pipeline.contract import Bundle
from pipeline.contract.bundle_weights import bundle_weights
from pipeline.contract.files import ONNX_FILE, TORCHSCRIPT_FILE
from pipeline.contract.law import Array
from pipeline.contract.small_weights import LARGEST, SmallWeight, StoredWeight
from pipeline.contract.tensors import Tensors
from pipeline.errors import ParityError
from pipeline.export.archive import archive_files, replaced_files
from pipeline.export.called import Called
from pipeline.export.session import Session, cpu_session
from pipeline.variants.calibration import Samples, inputs_of_weights
from pipeline.variants.graph import small_graph
from pipeline.variants.places import places
from pipeline.variants.rounding import nearest
from pipeline.variants.scores import Scored
from pipeline.variants.subject import Reweighted
from pipeline.verify import Case, Model, Reference, answer, chained, deviations, replay

_SIZES = ((1, 1), (1, 7), (4, 1), (5, 13))  # batch and steps of the comparisons
_OTHER = np.float32(1.5)  # what a weight is multiplied with, to see where else it has an effect


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
        self._shared = _shared(matrices)
        alone = {name: matrices[name] for name in self._shared}
        by_content: dict[bytes, list[str]] = {}
        for file, content in archive_files(self._torchscript).items():
            by_content.setdefault(content, []).append(file)
        self._files = {
            name: by_content[y.tobytes()] for name, y in alone.items() if y.tobytes() in by_content
        }
        held = {name: alone[name] for name in self._files}
        found = places(onnx.load_from_string(self._graph), held)
        groups = {frozenset(place.names) for place in found.values()}
        folded = {_layer(name) for name in alone.keys() - frozenset().union(*groups)}
        self.weights: dict[str, Array] = {}
        for group in sorted(groups, key=sorted):
            weights = {name: held[name] for name in sorted(group)}
            if folded.isdisjoint(map(_layer, weights)) or self._are_free(weights):
                self.weights |= weights

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
        made = self._changed(weights, self.weights)
        if off := _disagreement(made):
            raise ParityError(
                f"ONNX gives another {off} than PyTorch with the same weights; the variant was not "
                "written"
            )
        shared = {other: one for name, one in weights.items() for other in self._shared[name]}
        return replace(made, weights={**weights, **shared})

    def _changed(
        self, weights: Mapping[str, SmallWeight], originals: Mapping[str, Array]
    ) -> Reweighted:
        """The files with ``weights`` in the places of the ``originals``, not compared yet."""
        onnx_file = small_graph(self._graph, weights, originals)
        torchscript_file = self._program({name: one.values for name, one in weights.items()})
        reference = self._reference(torchscript_file)
        return Reweighted(weights, onnx_file, torchscript_file, {}, reference)

    def _are_free(self, weights: Mapping[str, Array]) -> bool:
        """Whether the files agree when these weights alone have clearly other numbers."""
        changed = {}
        for name, y in weights.items():
            if not np.isfinite(y).all():
                return False
            kind = StoredWeight(type="int8", shape=y.shape)
            numbers, scale = nearest(y.reshape(kind.rows, kind.columns), LARGEST["int8"])
            changed[name] = SmallWeight(kind, numbers, _OTHER * scale)
        return not _disagreement(self._changed(changed, weights))

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


def _shared(matrices: Mapping[str, Array]) -> dict[str, list[str]]:
    """The other names of each matrix, by its first: layers may share one."""
    names: dict[tuple[tuple[int, ...], bytes], list[str]] = {}
    for name, y in matrices.items():
        names.setdefault((y.shape, y.tobytes()), []).append(name)
    return {first: others for first, *others in names.values()}


def _layer(name: str) -> str:
    """The part of a module that a weight belongs to."""
    return name.rpartition(".")[0]


def _disagreement(made: Reweighted) -> str:
    """The output, and the sizes, at which ONNX is not as PyTorch with the same weights; or none."""
    reference = made.reference
    model, contract = Session(cpu_session(made.onnx_file)), reference.contract
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
                    return f"{name} at batch {batch}, {steps} steps"
    return ""
