"""Every exporter to ONNX on the same small recurrent modules: right, or what goes wrong.

Each export has dynamic batch and time, and the file is run by ONNX Runtime at sizes that the export
has not seen, from states that are not zero, beside PyTorch.
"""

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
import onnxruntime
import torch
from onnx import GraphProto
from torch import Tensor, nn

from pipeline.benchmark.exporters_modules import MODULES
from pipeline.benchmark.subject import Subject
from pipeline.cells import BY_OPERATOR
from pipeline.config import Record
from pipeline.contract.graph import nodes_in
from pipeline.contract.law import Array, judged
from pipeline.errors import PipelineError, one_line
from pipeline.export import export_onnx
from pipeline.export.graph_checks import dims
from pipeline.export.quiet import quiet_exporter
from pipeline.network_tensors import BATCH, TIME
from pipeline.runtimes.base import RuntimeProcessError
from pipeline.runtimes.isolated import Worker
from pipeline.threads import session_options, torch_threads

TIME_LIMIT = 120.0  # seconds for one export with its runs
EXAMPLE = (2, 5)  # batch and time of the inputs that an export sees
_OTHERS = ((1, 1), (1, 7), (3, 9), (4, 2))

Verdict = Literal[
    "right",
    "refused",
    "does not load",
    "does not run",
    "frozen size",
    "fails at other sizes",
    "wrong shapes",
    "wrong numbers",
    "crashes",
]


class Attempt(Record):
    """What became of one module with one exporter.

    ``nodes`` are those of the graph and of the graphs inside it, and ``recurrent`` of them are RNN,
    GRU or LSTM. ``stale`` are the outputs whose declared shape is not the one that they have.
    """

    module: str
    exporter: str
    verdict: Verdict
    reason: str = ""
    nodes: int | None = None
    recurrent: int | None = None
    stale: tuple[str, ...] = ()
    seconds: float = 0.0


def _by_pipeline(subject: Subject, module: nn.Module, path: Path) -> None:
    names, example = list(subject.outputs), subject.draw(*EXAMPLE)
    export_onnx(module, example, path, output_names=names, dynamic_axes=subject.axes)


def _by_torch(subject: Subject, module: nn.Module, path: Path, **how: Any) -> None:
    with quiet_exporter():
        torch.onnx.export(
            module,
            subject.draw(*EXAMPLE),
            path,
            input_names=list(subject.inputs),
            output_names=list(subject.outputs),
            **how,
        )


def _by_dynamo(subject: Subject, module: nn.Module, path: Path) -> None:
    dim = {axis: torch.export.Dim(axis) for axis in (BATCH, TIME)}
    shapes = {
        name: {place: dim[axis] for place, axis in slot.axes.items()}
        for name, slot in subject.inputs.items()
    }
    _by_torch(subject, module, path, dynamo=True, verbose=False, dynamic_shapes=shapes)


def _by_dynamo_with_axes(subject: Subject, module: nn.Module, path: Path) -> None:
    _by_torch(subject, module, path, dynamo=True, verbose=False, dynamic_axes=subject.axes)


def _by_tracing(subject: Subject, module: nn.Module, path: Path) -> None:
    _by_torch(subject, module, path, dynamo=False, dynamic_axes=subject.axes)


EXPORTERS: dict[str, Callable[[Subject, nn.Module, Path], None]] = {
    "pipeline": _by_pipeline,
    "torch-dynamo": _by_dynamo,
    "torch-dynamo-axes": _by_dynamo_with_axes,
    "torch-trace": _by_tracing,
}


def measure_exporters(
    exporters: Sequence[str],
    modules: Sequence[str],
    say: Callable[[str], None],
    time_limit: float = TIME_LIMIT,
) -> Iterator[Attempt]:
    """Try each exporter on each module; ``say`` what is done.

    Each export has a process of its own, in which no other one came before: what an export of torch
    gives depends on those before it. One that crashes, or that takes longer than ``time_limit``
    seconds, has an outcome that says so.
    """
    pairs = [(exporter, module) for module in modules for exporter in exporters]
    for number, (exporter, module) in enumerate(pairs, 1):
        say(f"{module} by {exporter}, {number} of {len(pairs)}")
        with Worker(time_limit) as worker:
            try:
                yield worker.work(trial, exporter, module)
            except RuntimeProcessError as error:
                facts = {"module": module, "exporter": exporter, "reason": str(error)}
                yield Attempt(verdict="crashes", **facts)


def trial(exporter: str, name: str) -> Attempt:
    """Export the module of this ``name``, and compare what comes out with PyTorch."""
    subject, started = MODULES[name], time.monotonic()
    module = subject.module()
    with tempfile.TemporaryDirectory() as folder, torch_threads(0):
        path = Path(folder, "model.onnx")
        try:
            EXPORTERS[exporter](subject, copy.deepcopy(module), path)
        except Exception as error:  # exporters throw whatever they like
            found: dict[str, Any] = {"verdict": "refused", "reason": _root(error)}
        else:
            found = _judged(subject, module, path)
    seconds = round(time.monotonic() - started, 2)
    return Attempt(module=name, exporter=exporter, seconds=seconds, **found)


def _root(error: BaseException) -> str:
    """The first cause of an error, on one line."""
    if isinstance(error, PipelineError):
        return str(error)
    while error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, Exception)
    return one_line(error)


def _judged(subject: Subject, module: nn.Module, path: Path) -> dict[str, Any]:
    """Verdict and reason of an exported file, the size of its graph, and its stale shapes."""
    facts: dict[str, Any] = {}
    try:
        graph = onnx.load(path, load_external_data=False).graph
        operators = [node.op_type for node in nodes_in(graph)]
        facts["nodes"] = len(operators)
        facts["recurrent"] = sum(operator in BY_OPERATOR for operator in operators)
        session = onnxruntime.InferenceSession(path, session_options(), ["CPUExecutionProvider"])
    except Exception as error:  # those of ONNX Runtime have no common class
        return {"verdict": "does not load", "reason": one_line(error), **facts}
    runs = [_Run(subject, module, session, *sizes) for sizes in (EXAMPLE, *_OTHERS)]
    stale = {name for run in runs for name in run.stale(graph)}
    verdict, reason = _verdict(subject, graph, runs)
    return {"verdict": verdict, "reason": reason, "stale": tuple(sorted(stale)), **facts}


class _Run:
    """An exported file beside PyTorch, once; ``fault`` is a verdict, and "" where all is well."""

    def __init__(
        self,
        subject: Subject,
        module: nn.Module,
        session: onnxruntime.InferenceSession,
        batch: int,
        time: int,
    ) -> None:
        self.fault, self.reason, self.found = "", "", list[Array]()
        self.given = dict(zip(subject.inputs, subject.draw(batch, time), strict=True))
        where = f"batch {batch}, time {time}"
        try:  # an export may have lost inputs
            feeds = {item.name: self.given[item.name].numpy() for item in session.get_inputs()}
            self.found = session.run(None, feeds)
        except Exception as error:  # those of ONNX Runtime have no common class
            self.fault, self.reason = "does not run", f"{where}: {one_line(error)}"
            return
        expected, exact = _answers(module, list(self.given.values()))
        if len(self.found) != len(expected):
            self.fault = "wrong shapes"
            self.reason = f"{len(self.found)} outputs, not {len(expected)}"
            return
        for name, y, y32, y64 in zip(subject.outputs, self.found, expected, exact, strict=True):
            if y.shape != y32.shape:
                self.fault = "wrong shapes"
                self.reason = f"{where}: {name} is {list(y.shape)}, not {list(y32.shape)}"
                return
            found = judged(name, y, y64, [y32])
            if not found.within:
                self.fault = "wrong numbers"
                self.reason = f"{where}: {name} is off by up to {found.error:.2g}"
                return

    def stale(self, graph: GraphProto) -> Iterator[str]:
        """The outputs that have another shape than the graph declares for these inputs."""
        sizes = {
            axis: size
            for value in graph.input
            if value.name in self.given
            for axis, size in zip(dims(value), self.given[value.name].shape, strict=False)
            if isinstance(axis, str)
        }
        for value, y in zip(graph.output, self.found, strict=False):
            declared = [sizes.get(axis) if isinstance(axis, str) else axis for axis in dims(value)]
            pairs = zip(declared, y.shape, strict=False)
            if any(size is not None and size != actual for size, actual in pairs):
                yield value.name


def _answers(module: nn.Module, given: Sequence[Tensor]) -> tuple[list[Array], list[Array]]:
    """What PyTorch gives in float32 and in float64."""
    answers = []
    for kind in (torch.float32, torch.float64):
        twin = copy.deepcopy(module).to(kind)
        exact = [x.to(kind) if x.is_floating_point() else x for x in given]
        with torch.no_grad(), quiet_exporter():
            outputs = twin(*exact)
        tensors = [outputs] if isinstance(outputs, Tensor) else outputs
        answers.append([y.numpy() for y in tensors])
    return answers[0], answers[1]


def _verdict(subject: Subject, graph: GraphProto, runs: Sequence[_Run]) -> tuple[Verdict, str]:
    """The worst that was seen: what passes unnoticed is worse than what fails."""
    kinds: tuple[Verdict, ...] = ("wrong numbers", "wrong shapes")
    for kind in kinds:
        for run in runs:
            if run.fault == kind:
                return kind, run.reason
    failed = [run for run in runs if run.fault]
    if not failed:
        return "right", ""
    if runs[0] in failed:
        return "does not run", runs[0].reason
    for value in graph.input:
        for place, axis in subject.axes.get(value.name, {}).items():
            if isinstance(size := dims(value)[place], int):
                return "frozen size", f"the {axis} of {value.name} is {size} in the file"
    return "fails at other sizes", failed[0].reason
