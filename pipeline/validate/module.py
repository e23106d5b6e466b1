"""The preparations to validate a bundle of a user's module."""

from collections.abc import Mapping
from dataclasses import replace

from pipeline.bundle.module_reference import module_reference
from pipeline.contract import Bundle
from pipeline.contract.bundle_weights import bundle_weights
from pipeline.contract.files import ONNX_FILE, TORCHSCRIPT_FILE, WEIGHTS_FILE
from pipeline.contract.golden import trajectories
from pipeline.contract.law import Array
from pipeline.contract.tensors import Contract, Tensors
from pipeline.errors import MalformedError
from pipeline.runtimes.catalog import RUNTIMES, Runtimes
from pipeline.validate.answered import Answered, answered
from pipeline.validate.golden import require_golden
from pipeline.validate.module_audit import audit_graph, audit_program
from pipeline.validate.prepared import Prepared
from pipeline.verify import Answer, Case, Reference

_FLOAT32 = "compared with float32, since model.pt does not compute in float64"
_GOLDEN_ALONE = "compared on the golden trajectories alone, since model.pt may not run here"


def prepare_module(bundle: Bundle, runtimes: Runtimes) -> Prepared:
    """The preparations for the module in ``bundle``; raises as :func:`validate_bundle`.

    Its reference is its TorchScript, where that may run. Where it may not, the golden trajectories
    are the only cases, with the results that the eager module gave in float64.
    """
    weights, onnx_file = bundle_weights(bundle).arrays, bundle.read(ONNX_FILE)
    _require_all(bundle, weights)
    found = {"ONNX": audit_graph(onnx_file, weights)}
    # An engine that lacks an operator says nothing about the bundle.
    optional = {name for name, kind in RUNTIMES.items() if kind.optional or name == "reference"}
    if runtimes.trust.judge(bundle).refusal:
        exact = Answered(_nothing_to_run(bundle), golden_answers(bundle), stored=True)
        note = _GOLDEN_ALONE
    else:
        reference, note = module_reference(bundle), _FLOAT32
        if reference.twin is not None:
            note = ""
            require_golden(bundle, reference)
        found["TorchScript"] = audit_program(bundle.read(TORCHSCRIPT_FILE), weights)
        exact = answered(reference)
    return Prepared(
        exact,
        audits={kind: audit.faults for kind, audit in found.items()},
        notes={kind: "; ".join(filter(None, (audit.note, note))) for kind, audit in found.items()},
        may_refuse=optional,
    )


def _require_all(bundle: Bundle, weights: Mapping[str, Array]) -> None:
    """Raise MalformedError for weights that are not as many as the manifest says."""
    found, said = sum(array.size for array in weights.values()), bundle.manifest.parameters
    if found != said:
        path = bundle.folder / WEIGHTS_FILE
        raise MalformedError(f"{path} holds {found:,} numbers, and not {said:,}; export it anew")


def golden_answers(bundle: Bundle) -> list[Answer]:
    """The golden trajectories of ``bundle`` as answers; the reference's own error is unknown.

    Every call has results of its own, so that the states between the calls are compared, too.
    """
    contract = bundle.manifest.contract
    of_calls = replace(contract, time=None)
    names = [spec.name for spec in contract.data_inputs]
    found = []
    for golden in trajectories(bundle.golden(), bundle.manifest):
        calls = tuple({name: call[name] for name in names} for call in golden.calls)
        results = [
            {spec.name: call[spec.name] for spec in contract.outputs} for call in golden.calls
        ]
        sizes = _sizes(contract, calls)
        case = Case(golden.name, calls, dict(golden.states), batch=sizes[0], time=sizes[1])
        none = dict.fromkeys(results[0], 0.0)
        found.append(Answer(of_calls, case, results, results, none, contract.next_states))
    return found


def _sizes(contract: Contract, calls: tuple[Tensors, ...]) -> tuple[int, int]:
    """The number of rows, and of steps or calls."""
    rows = steps = 0
    for name, array in calls[0].items():
        if (at := contract.axis(contract.batch, name)) is not None:
            rows = array.shape[at]
        if (at := contract.axis(contract.time, name)) is not None:
            steps = sum(call[name].shape[at] for call in calls)
    return rows or 1, steps or len(calls)


class _NotHere:
    """The model of a reference that may not run."""

    def call(self, inputs: object, /) -> list[Array]:
        """Never called, since the golden trajectories have their results."""
        raise AssertionError


def _nothing_to_run(bundle: Bundle) -> Reference:
    def draw(batch: int, time: int, start: int) -> Tensors:
        raise AssertionError

    return Reference(bundle.manifest.contract, _NotHere(), None, draw, bundle.initial_states)
