"""Exporters are judged by what their files give: planted faults are told apart."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
import torch
from command_line import Here
from onnx import GraphProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from pipeline.benchmark import exporters
from pipeline.benchmark.exporters import EXPORTERS, Attempt, measure_exporters, trial
from pipeline.benchmark.exporters_modules import MODULES
from pipeline.benchmark.subject import Subject
from pipeline.cli.benchmark import exporters as exporters_command
from pipeline.export.quiet import quiet_exporter
from pipeline.network_tensors import BATCH, TIME

GRU = "gru"  # inputs x, h and outputs y, h_next


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("exporters") / "gru.onnx"
    subject = MODULES[GRU]
    EXPORTERS["pipeline"](subject, subject.module(), path)
    return path.read_bytes()


def numbers(graph: GraphProto) -> None:
    for weight in graph.initializer:
        if weight.data_type == TensorProto.FLOAT:
            changed = numpy_helper.to_array(weight) * np.float32(1.01)
            weight.CopyFrom(numpy_helper.from_array(changed, weight.name))


def state(graph: GraphProto) -> None:
    """The state that is given is not read: every call starts at zero."""
    [node] = [node for node in graph.node if node.op_type == "GRU"]
    node.input[5] = ""


def order(graph: GraphProto) -> None:
    y, h = graph.output[0], graph.output[1]
    swapped = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in (h, y)]
    del graph.output[:]
    graph.output.extend(swapped)


def outputs(graph: GraphProto) -> None:
    del graph.output[1]


def frozen(graph: GraphProto) -> None:
    graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5


def lengths(graph: GraphProto) -> None:
    """As many sequences as the example has are part of the graph."""
    graph.initializer.append(numpy_helper.from_array(np.array([5, 5], np.int32), "lengths"))
    [node] = [node for node in graph.node if node.op_type == "GRU"]
    node.input[4] = "lengths"


def declared(graph: GraphProto) -> None:
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5


def confused(graph: GraphProto) -> None:
    graph.output[0].type.tensor_type.shape.dim[1].dim_param = BATCH


def operator(graph: GraphProto) -> None:
    graph.node.append(helper.make_node("NoSuchOperator", ["x"], ["z"], "none"))


def nothing(graph: GraphProto) -> None:
    """As it was."""


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        (nothing, "right", ""),
        (numbers, "wrong numbers", "y is off by up to 0.0"),
        (state, "wrong numbers", "batch 2, time 5: y is off by up to "),
        (order, "wrong shapes", "batch 2, time 5: y is [1, 2, 8], not [2, 5, 8]"),
        (outputs, "wrong shapes", "1 outputs, not 2"),
        (frozen, "frozen size", "the time of x is 5 in the file"),
        (lengths, "fails at other sizes", "batch 1, time 1: "),
        (operator, "does not load", "NoSuchOperator"),
    ],
)
def test_a_fault_in_a_file_is_told_from_others(
    monkeypatch: pytest.MonkeyPatch,
    exported: bytes,
    change: Callable[[GraphProto], None],
    verdict: str,
    reason: str,
) -> None:
    found = changed(monkeypatch, exported, change)
    assert (found.verdict, found.recurrent, found.stale) == (verdict, 1, ())
    assert reason in found.reason
    assert bool(reason) == bool(found.reason)


@pytest.mark.parametrize("change", [declared, confused])
def test_an_output_that_is_not_as_declared_is_stale(
    monkeypatch: pytest.MonkeyPatch, exported: bytes, change: Callable[[GraphProto], None]
) -> None:
    found = changed(monkeypatch, exported, change)
    assert (found.verdict, found.stale) == ("right", ("y",))


def changed(
    monkeypatch: pytest.MonkeyPatch, file: bytes, change: Callable[[GraphProto], None]
) -> Attempt:
    def exporter(subject: Subject, module: nn.Module, path: Path) -> None:
        model = onnx.load_from_string(file)
        change(model.graph)
        onnx.save(model, path)

    monkeypatch.setitem(EXPORTERS, "changed", exporter)
    return trial("changed", GRU)


def test_no_file_and_half_a_file_do_not_load(
    monkeypatch: pytest.MonkeyPatch, exported: bytes
) -> None:
    def nowhere(subject: Subject, module: nn.Module, path: Path) -> None:
        """Writes nothing."""

    def half(subject: Subject, module: nn.Module, path: Path) -> None:
        path.write_bytes(exported[:100])

    for exporter in (nowhere, half):
        monkeypatch.setitem(EXPORTERS, "broken", exporter)
        found = trial("broken", GRU)
        assert found.verdict == "does not load"
        assert found.reason


def test_what_an_exporter_throws_is_told_by_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def throws(subject: Subject, module: nn.Module, path: Path) -> None:
        try:
            raise KeyError("aten::lstm")
        except KeyError as error:
            raise RuntimeError("step 2 of 3\nfailed") from error

    monkeypatch.setitem(EXPORTERS, "throws", throws)
    found = trial("throws", GRU)
    assert (found.verdict, found.reason) == ("refused", "KeyError: 'aten::lstm'")


def test_our_export_of_a_python_loop_over_the_steps_is_right() -> None:
    assert trial("pipeline", "cell-loop").verdict == "right"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_gives_what_its_subject_says(name: str) -> None:
    subject = MODULES[name]
    module = subject.module()
    weights = list(module.parameters())
    again = list(subject.module().parameters())
    assert all(torch.equal(*pair) for pair in zip(weights, again, strict=True))
    for batch, time in ((2, 5), (3, 4)):
        given = subject.draw(batch, time)
        assert all(x.abs().sum() > 0 for x in given)
        with torch.no_grad(), quiet_exporter():
            found = module(*given)
        found = [found] if isinstance(found, Tensor) else found
        sizes = {BATCH: batch, TIME: time}
        for slot, y in zip(subject.outputs.values(), found, strict=True):
            assert list(y.shape) == [sizes.get(str(axis), axis) for axis in slot.shape]


def abort(exporter: str, name: str) -> Attempt:
    print("the exporter is gone", flush=True)
    os.abort()


def test_an_exporter_that_crashes_is_a_line_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporters, "trial", abort)
    said: list[str] = []
    found = list(measure_exporters(["pipeline", "torch-trace"], [GRU], said.append))
    assert [item.verdict for item in found] == ["crashes", "crashes"]
    assert found[0].reason == "crashed with SIGABRT: the exporter is gone"
    assert said == ["gru by pipeline, 1 of 2", "gru by torch-trace, 2 of 2"]


def test_the_help_names_every_exporter() -> None:
    [option] = [item for item in exporters_command.params if item.name == "exporters"]
    assert isinstance(option, click.Option)
    assert all(name in (option.help or "") for name in EXPORTERS)


def test_the_command_shows_every_exporter_on_a_module(pipeline: Here) -> None:
    done = pipeline("benchmark", "exporters", "gru", "--exporter", "torch-trace", "--json")
    [found] = [Attempt.model_validate(item) for item in json.loads(done.out)]
    assert (found.module, found.exporter, found.recurrent) == ("gru", "torch-trace", 1)
    assert found.verdict == "right"


def test_the_table_has_a_row_per_module_and_the_reasons_below(
    pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def known(exporter: str, name: str) -> Attempt:
        facts = {"module": name, "exporter": exporter}
        if exporter == "pipeline":
            return Attempt.model_validate({**facts, "verdict": "right", "nodes": 5})
        if name == "rnn":
            return Attempt.model_validate({**facts, "verdict": "refused", "reason": "no such axis"})
        stale = {"verdict": "right", "nodes": 15, "stale": ["y"]}
        return Attempt.model_validate({**facts, **stale})

    class Inside:
        def __init__(self, time_limit: float) -> None:
            assert time_limit == 7

        def __enter__(self) -> "Inside":
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing to end."""

        def work(self, function: Callable[[str, str], Attempt], *arguments: str) -> Attempt:
            return known(*arguments)

    monkeypatch.setattr(exporters, "Worker", Inside)
    chosen = ("--exporter", "pipeline", "--exporter", "torch-dynamo")
    done = pipeline("benchmark", "exporters", "rnn", "lstm", *chosen, "--time-limit", "7")
    cells = [re.split(" {2,}", line.rstrip()) for line in done.out.splitlines()[-2:]]
    assert cells == [
        ["rnn", "right, 5", "refused"],
        ["lstm", "right, 5", "right, 15, stale shapes"],
    ]
    assert "rnn, torch-dynamo: refused: no such axis" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lstn",), "no module is called 'lstn'; did you mean 'lstm'?"),
        (("--exporter", "torch-dynamite"), "no exporter is called 'torch-dynamite'"),
    ],
)
def test_unknown_names_are_refused(pipeline: Here, arguments: tuple[str, ...], words: str) -> None:
    done = pipeline("benchmark", "exporters", *arguments)
    assert done.code == 2
    done.one_line_error(words)
