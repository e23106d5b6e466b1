"""Two models that others exported: what matches, and what is caught."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from foreign_models import (
    GRU_AXES,
    SUM,
    Gru,
    InTuples,
    Stream,
    TimeFirst,
    compare,
    graph,
    gru_file,
    lstm_file,
    running_sum,
    scripted,
    seeded,
    to_onnx,
    traced,
    write,
)
from onnx import ModelProto, helper
from torch import Tensor, nn

from pipeline.errors import MalformedError
from pipeline.validate.foreign import ForeignFile
from pipeline.validate.foreign.run import SIZES


@pytest.fixture(scope="module")
def lstm() -> ModelProto:
    return lstm_file()


@pytest.fixture(scope="module")
def gru() -> ModelProto:
    return gru_file()


@pytest.mark.parametrize("kind", ["scripted", "in tuples", "traced"])
def test_torchscript_matches_its_onnx_file_and_has_a_float64_twin(
    tmp_path: Path, lstm: ModelProto, kind: str
) -> None:
    if kind == "scripted":
        first = scripted(tmp_path / "a.pt", seeded(TimeFirst))
    elif kind == "in tuples":
        first = scripted(tmp_path / "a.pt", seeded(InTuples))
    else:
        state = (torch.zeros(2, 2, 4), torch.zeros(2, 2, 4))
        first = traced(tmp_path / "a.pt", seeded(InTuples), (torch.zeros(5, 2, 3), state))
    row = compare(first, write(tmp_path / "b.onnx", lstm))
    assert (row.status, row.reason) == ("pass", "")
    assert 0 < row.output_error < 1e-6
    assert 0 < row.state_error < 1e-6
    assert set(row.placement.values()) == {"CPUExecutionProvider"}
    sizes = {(case.batch, case.time) for case in row.cases}
    assert {(size, size) for size in SIZES} < sizes
    assert len(sizes) == 15
    assert "chained calls, time=7 batch=50" in {case.case for case in row.cases}
    assert all(case.calls == 5 for case in row.cases)


def test_torchscript_can_be_compared_with_an_onnx_reference(
    tmp_path: Path, gru: ModelProto
) -> None:
    row = compare(write(tmp_path / "a.onnx", gru), scripted(tmp_path / "b.pt", seeded(Gru)))
    assert (row.status, row.format) == ("pass", "TorchScript")
    assert "without a float64 twin" in row.note


def test_inputs_in_another_order_are_matched_by_name(tmp_path: Path, lstm: ModelProto) -> None:
    turned = onnx.load_from_string(lstm.SerializeToString())
    for values in (turned.graph.input, turned.graph.output):
        kept = list(values)[::-1]
        del values[:]
        values.extend(kept)
    first, second = write(tmp_path / "a.onnx", lstm), write(tmp_path / "b.onnx", turned)
    assert compare(first, second).status == "pass"
    swapped = scripted(tmp_path / "c.pt", seeded(TimeFirst))
    assert compare(swapped, ForeignFile("ONNX", first.path)).status == "pass"


def test_a_gru_with_the_other_equation_is_caught_with_its_place(
    tmp_path: Path, gru: ModelProto
) -> None:
    wrong = onnx.load_from_string(gru.SerializeToString())
    for node in wrong.graph.node:
        for attribute in node.attribute:
            if attribute.name == "linear_before_reset":
                attribute.i = 0
    row = compare(scripted(tmp_path / "a.pt", seeded(Gru)), write(tmp_path / "b.onnx", wrong))
    assert row.status == "fail"
    assert "call" in row.reason
    assert " is " in row.reason


def test_a_state_that_is_not_passed_on_is_caught(tmp_path: Path) -> None:
    lost = running_sum("zero = Sub(state, state) stateN = Add(x, zero)")
    first, second = write(tmp_path / "a.onnx", running_sum()), write(tmp_path / "b.onnx", lost)
    row = compare(first, second)
    assert row.status == "fail"
    assert row.reason.startswith("chained calls, batch=1, batch 1, time 1: call")


@pytest.fixture(scope="module")
def stream() -> ModelProto:
    given = (torch.zeros(2, 8), torch.zeros(2, 2, 4))

    class NoRate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = seeded(Stream)

        def forward(self, input: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            found: tuple[Tensor, Tensor] = self.inner(input, state, 16000)
            return found

    axes = {"input": {0: "n", 1: "length"}, "state": {1: "m"}}
    model = to_onnx(NoRate(), given, (["input", "state"], ["output", "stateN"]), axes)
    model.graph.input.append(helper.make_tensor_value_info("sr", onnx.TensorProto.INT64, []))
    return model


def test_fixed_inputs_and_shapes_make_a_stream_comparable(
    tmp_path: Path, stream: ModelProto
) -> None:
    first = scripted(tmp_path / "a.pt", seeded(Stream))
    second = write(tmp_path / "b.onnx", stream)
    shapes = ("input=batch,8", "state=2,batch,4")
    row = compare(first, second, inputs=("sr=16000",), shapes=shapes)
    assert row.status == "pass"
    assert {case.batch for case in row.cases} == set(SIZES)
    row = compare(first, second, inputs=("sr=16000",), shapes=("input=1,8", "state=2,1,4"))
    assert [case.case for case in row.cases] == ["chained calls", "random state"]


@pytest.mark.parametrize("which", ["first", "second"])
def test_what_only_one_file_takes_can_be_fixed(
    tmp_path: Path, stream: ModelProto, which: str
) -> None:
    without = onnx.load_from_string(stream.SerializeToString())
    del without.graph.input[2]
    files = [write(tmp_path / "a.onnx", stream), write(tmp_path / "b.onnx", without)]
    files = files if which == "first" else files[::-1]
    shapes = ("input=1,8", "state=2,1,4")
    assert compare(*files, inputs=("sr=16000",), shapes=shapes).status == "pass"
    with pytest.raises(MalformedError, match="fix with --input what only one of them takes"):
        compare(*files, shapes=shapes)


def test_a_size_that_both_refuse_is_said_and_does_not_count(
    tmp_path: Path, stream: ModelProto
) -> None:
    first, second = write(tmp_path / "a.onnx", stream), write(tmp_path / "b.onnx", stream)
    row = compare(first, second, shapes=("input=n,8",))
    assert row.status == "pass"
    assert "both files refuse" in row.note
    assert len(row.cases) < 30
    row = compare(first, second)
    assert (row.status, row.cases) == ("fail", ())
    assert row.reason == "nothing was compared"
    assert row.note.startswith("both files refuse 30 cases")


@pytest.mark.parametrize("frozen", ["first", "second"])
def test_an_axis_that_is_dynamic_by_name_alone_is_a_failing_row(
    tmp_path: Path, frozen: str
) -> None:
    two = np.array([2, 2], np.int64)
    frozen_sum = graph(
        f"sum {SUM} {{ z = Reshape(x, two) stateN = Add(z, state) y = Tanh(stateN) }}", two=two
    )
    models = [running_sum(), frozen_sum]
    names = ["honest.onnx", "frozen.onnx"]
    files = [write(tmp_path / name, model) for name, model in zip(names, models, strict=True)]
    row = compare(*(files[::-1] if frozen == "first" else files))
    assert row.status == "fail"
    assert "chained calls, batch=1: " in row.reason
    assert "frozen.onnx alone refuses" in row.reason


def test_an_axis_that_one_file_fixes_is_tried_at_that_size(tmp_path: Path) -> None:
    fixed = graph(f"sum {SUM.replace('batch', '3')} {{ stateN = Add(x, state) y = Tanh(stateN) }}")
    for first, second in ((running_sum(), fixed), (fixed, running_sum())):
        row = compare(write(tmp_path / "a.onnx", first), write(tmp_path / "b.onnx", second))
        assert row.status == "pass"
        assert len(row.cases) == 2
    other = graph(f"sum {SUM.replace('batch', '4')} {{ stateN = Add(x, state) y = Tanh(stateN) }}")
    with pytest.raises(MalformedError, match=r"x \[3, 2\] of .* x \[4, 2\] in"):
        compare(write(tmp_path / "a.onnx", fixed), write(tmp_path / "b.onnx", other))


@pytest.mark.parametrize("wrong", ["first", "second"])
def test_nan_fails_and_its_place_is_named(tmp_path: Path, wrong: str) -> None:
    nan = running_sum("stateN = Add(x, state)").SerializeToString()
    bad = onnx.load_from_string(nan)
    bad.graph.node[1].op_type = "Log"
    files = [write(tmp_path / "good.onnx", running_sum()), write(tmp_path / "bad.onnx", bad)]
    row = compare(*(files[::-1] if wrong == "first" else files))
    assert row.status == "fail"
    assert "call 1, y[0, " in row.reason
    if wrong == "first":
        assert "bad.onnx itself" in row.reason


def test_integers_must_be_equal(tmp_path: Path) -> None:
    text = (
        "count (int64[n] tokens, int64[n] state) => (int64[n] y, int64[n] next_state) "
        "{ next_state = Add(state, tokens) y = Mul(next_state, big) }"
    )
    files = [
        write(tmp_path / f"{big}.onnx", graph(text, big=np.array(big, np.int64)))
        for big in (100_000, 100_001)
    ]
    assert compare(files[0], files[0]).status == "pass"
    row = compare(*files)
    assert row.status == "fail"
    assert row.share is None


class Chaos(nn.Module):
    """An RNN that amplifies rounding until nothing of a long call can be compared."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.RNN(3, 64, batch_first=True)
        with torch.no_grad():
            self.layer.get_parameter("weight_hh_l0").mul_(20)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, state = self.layer(x, state)
        return y, state


def test_cases_that_prove_nothing_are_said_and_do_not_count(tmp_path: Path) -> None:
    given = (torch.zeros(2, 5, 3), torch.zeros(1, 2, 64))
    model = to_onnx(seeded(Chaos), given, (["x", "state"], ["y", "next_state"]), GRU_AXES)
    row = compare(scripted(tmp_path / "a.pt", seeded(Chaos)), write(tmp_path / "b.onnx", model))
    assert row.status == "pass"
    assert "cases prove nothing" in row.note
    assert row.output_error < 1e-2
    assert 0 < len(row.cases) < 30
    assert any(case.ill_conditioned for case in row.cases)


def test_a_torchscript_module_that_insists_on_float32_is_compared_without_a_twin(
    tmp_path: Path, gru: ModelProto
) -> None:
    class Insists(Gru):
        def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            y, state = self.layer(x.to(torch.float32), state)
            return y, state

    row = compare(scripted(tmp_path / "a.pt", seeded(Insists)), write(tmp_path / "b.onnx", gru))
    assert row.status == "pass"
    assert "without a float64 twin" in row.note
