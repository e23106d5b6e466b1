"""Two models that others exported: what is found in them, what is caught, what is refused."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from command_line import Here
from foreign_models import (
    GRU_AXES,
    LSTM_AXES,
    SUM,
    Gru,
    InTuples,
    Stream,
    TimeFirst,
    graph,
    running_sum,
    scripted,
    seeded,
    to_onnx,
    traced,
    write,
)
from onnx import ModelProto, helper, parser
from torch import Tensor, nn

from pipeline.bundle import Bundle
from pipeline.errors import MalformedError, UnavailableError, UsageError
from pipeline.validate import Validation
from pipeline.validate.foreign import ForeignFile, validate_pair
from pipeline.validate.foreign.model import OnnxModel
from pipeline.validate.foreign.pair import PairChoices, make_plan
from pipeline.validate.foreign.run import SIZES

CPU = ("cpu",)


@pytest.fixture(scope="module")
def lstm() -> ModelProto:
    given = (torch.zeros(5, 2, 3), torch.zeros(2, 2, 4), torch.zeros(2, 2, 4))
    return to_onnx(seeded(TimeFirst), given, (["x", "h0", "c0"], ["y", "hn", "cn"]), LSTM_AXES)


@pytest.fixture(scope="module")
def gru() -> ModelProto:
    given = (torch.zeros(2, 5, 3), torch.zeros(1, 2, 4))
    return to_onnx(seeded(Gru), given, (["x", "state"], ["y", "next_state"]), GRU_AXES)


def only_row(validation: Validation) -> Any:
    (row,) = validation.rows
    json.dumps(validation.model_dump(mode="json"), allow_nan=False)
    return row


def compare(first: ForeignFile, second: ForeignFile, **choices: Any) -> Any:
    return only_row(validate_pair(first, second, CPU, PairChoices(**choices)))


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


def found_states(tmp_path: Path, ins: Sequence[str], outs: Sequence[str], *told: str) -> Any:
    """The state pairs of a graph with these tensors, which are alike but for the first."""
    names = [f"float[batch, {4 if index else 3}] {name}" for index, name in enumerate(ins)]
    results = [f"float[batch, {4 if index else 6}] {name}" for index, name in enumerate(outs)]
    body = [f"{outs[0]} = Concat<axis=1>({ins[0]}, {ins[0]})"]
    body += [
        f"{after} = Identity({before})" for before, after in zip(ins[1:], outs[1:], strict=True)
    ]
    model = graph(f"g ({', '.join(names)}) => ({', '.join(results)}) {{ {' '.join(body)} }}")
    write(tmp_path / "m.onnx", model)
    opened = OnnxModel(tmp_path / "m.onnx", "cpu")
    plan = make_plan(opened, opened, PairChoices(states=told))
    return list(plan.contract.states)


@pytest.mark.parametrize(
    ("ins", "outs"),
    [
        (["input", "state"], ["output", "next_state"]),
        (["input", "state"], ["output", "stateN"]),
        (["input", "h0", "c0"], ["output", "hn", "cn"]),
        (["input", "hx", "cx"], ["output", "hy", "cy"]),
        (["input", "h", "c"], ["output", "h_out", "c_out"]),
        (["input", "h_in", "c_in"], ["output", "h_out", "c_out"]),
        (["input", "h0", "h1"], ["output", "h0_out", "h1_out"]),
        (["input", "past_x", "past_y"], ["output", "present_x", "present_y"]),
        (["input", "initial_h", "initial_c"], ["output", "Y_h", "Y_c"]),
        (["input", "hiddenIn"], ["output", "hiddenOut"]),
        (["input", "a"], ["output", "b"]),  # by shape
    ],
    ids=" ".join,
)
def test_states_are_found_by_their_names_or_shapes(
    tmp_path: Path, ins: list[str], outs: list[str]
) -> None:
    expected = list(zip(ins, outs, strict=True))[1:]
    assert found_states(tmp_path, ins, outs) == expected


def test_states_that_could_be_several_are_listed_and_can_be_told(tmp_path: Path) -> None:
    ins, outs = ["input", "a", "b"], ["output", "p", "q"]
    with pytest.raises(MalformedError, match="a → p or q, b → p or q; name each pair"):
        found_states(tmp_path, ins, outs)
    assert found_states(tmp_path, ins, outs, "a:q", "b:p") == [("a", "q"), ("b", "p")]
    assert found_states(tmp_path, ins, outs, "none") == []
    with pytest.raises(UsageError, match="uses a tensor twice"):
        found_states(tmp_path, ins, outs, "a:q", "b:q")
    with pytest.raises(UsageError, match="name no other"):
        found_states(tmp_path, ins, outs, "a:q", "none")


def test_a_pair_without_a_state_is_compared_and_says_so(tmp_path: Path) -> None:
    plain = graph(
        "g (float[batch, 3] x) => (float[batch, 3, 1] y) { y = Unsqueeze(x, two) }",
        two=np.array([2], np.int64),
    )
    file = write(tmp_path / "plain.onnx", plain)
    row = compare(file, file)
    assert (row.status, len(row.cases)) == ("pass", 5)
    assert "none is carried on" in row.note


class Words(nn.Module):
    """An embedding of five words."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.table(tokens)
        return found


def test_indices_are_within_the_table_of_the_graph_or_as_told(tmp_path: Path) -> None:
    first = scripted(tmp_path / "a.pt", seeded(Words))
    given = (torch.zeros(2, 4, dtype=torch.int64),)
    model = to_onnx(seeded(Words), given, (["tokens"], ["y"]), {"tokens": {0: "batch", 1: "time"}})
    second = write(tmp_path / "b.onnx", model)
    assert OnnxModel(second.path, "cpu").table_sizes == {"tokens": 5}
    assert len(compare(first, second).cases) == 15
    np.savez(tmp_path / "given.npz", tokens=np.array([[0, 1, 4], [2, 2, 0]]))
    for told in ("0..4", str(tmp_path / "given.npz")):
        row = compare(first, second, inputs=(f"tokens={told}",))
        assert (row.status, len(row.cases)) == ("pass", 15)
    row = compare(first, second, inputs=("tokens=5..6",))
    assert (row.status, row.reason) == ("fail", "nothing was compared")


def test_indices_out_of_a_hidden_table_name_the_input_and_the_cure(tmp_path: Path) -> None:
    hidden = graph(
        "g (int64[n] tokens) => (float[n] y) { table = Add(part, part) y = Gather(table, tokens) }",
        part=np.ones(5, np.float32),
    )
    file = write(tmp_path / "m.onnx", hidden)
    with pytest.raises(UsageError, match=r"tokens was drawn .* --input tokens=0\.\.4"):
        compare(file, file)
    assert compare(file, file, inputs=("tokens=0..4",)).status == "pass"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"states": ("stat:stateN",)}, "no input is called 'stat'; did you mean 'state'"),
        ({"states": ("state:stateM",)}, "no output is called 'stateM'; did you mean 'stateN'"),
        ({"states": ("state",)}, "is not NAME:NEXT"),
        ({"inputs": ("stat=1",)}, "did you mean 'state'"),
        ({"inputs": ("state",)}, "is not NAME=VALUE"),
        ({"inputs": ("state=much",)}, "is not NAME=VALUE"),
        ({"inputs": ("state=nan",)}, "is not NAME=VALUE"),
        ({"inputs": ("count=0.5",)}, "is not int8"),
        ({"inputs": ("count=200",)}, "is not int8"),
        ({"shapes": ("stat=1,2",)}, "did you mean 'state'"),
        ({"shapes": ("state",)}, "is not NAME=SIZE"),
        ({"shapes": ("state=1,-2",)}, "is not NAME=SIZE"),
        ({"shapes": ("state=0,2",)}, "is not NAME=SIZE"),
        ({"shapes": ("state=1,2,3",)}, "does not fit state"),
        ({"shapes": ("state=1,3",)}, "does not fit state"),
    ],
)
def test_choices_that_cannot_be_are_usage_errors(
    tmp_path: Path, choice: dict[str, tuple[str, ...]], message: str
) -> None:
    model = running_sum()
    count = helper.make_tensor_value_info("count", onnx.TensorProto.INT8, [])
    model.graph.input.append(count)
    file = write(tmp_path / "sum.onnx", model)
    with pytest.raises(UsageError, match=message):
        compare(file, file, **choice)


def test_files_that_do_not_correspond_are_named(tmp_path: Path, lstm: ModelProto) -> None:
    first, second = write(tmp_path / "a.onnx", running_sum()), write(tmp_path / "b.onnx", lstm)
    with pytest.raises(MalformedError, match=r"a.onnx takes x, state and .*b.onnx takes x, h0, c0"):
        compare(first, second)
    more = graph(
        "sum (float[batch, 2] x, float[batch, 2] state) => (float[batch, 2] stateN) "
        "{ stateN = Add(x, state) }"
    )
    with pytest.raises(MalformedError, match=r"gives y, stateN and .* gives stateN"):
        compare(first, write(tmp_path / "c.onnx", more))
    scalar = scripted(tmp_path / "d.pt", seeded(Gru))
    with pytest.raises(MalformedError, match=r"takes x, h0, c0 and .* takes x, state"):
        compare(scalar, second)
    words = graph("g (string[n] x, float[n] h) => (float[n] h_out) { h_out = Identity(h) }")
    with pytest.raises(MalformedError, match=r"'x' of .* is tensor\(string\)"):
        compare(write(tmp_path / "e.onnx", words), second)


HOSTILE = {
    "domain": (
        '<ir_version: 8, opset_import: ["" : 17, "my.domain" : 1]> '
        "g (float[n] h) => (float[n] h_out) { h_out = my.domain.Foo(h) }",
        "ai.onnx 17, my.domain 1",
    ),
    "opset": (
        '<ir_version: 8, opset_import: ["" : 99]> '
        "g (float[n] h) => (float[n] h_out) { h_out = Relu(h) }",
        "needs opset 99 of ONNX",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_unknown_domain_or_opset_is_named(tmp_path: Path, kind: str) -> None:
    text, message = HOSTILE[kind]
    file = write(tmp_path / "m.onnx", parser.parse_model(text))
    with pytest.raises(MalformedError, match=message):
        compare(file, file)


@pytest.mark.parametrize("data", [b"", b"not a model", b"\0" * 64])
def test_what_is_not_a_model_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    for form, message in (("ONNX", "is not an ONNX file"), ("TorchScript", "is not TorchScript")):
        with pytest.raises(MalformedError, match=message):
            ForeignFile(form, path).open()
        with pytest.raises(MalformedError, match="is missing"):
            ForeignFile(form, tmp_path / "absent").open()


def test_weights_beside_the_file_are_read_or_missed(tmp_path: Path, lstm: ModelProto) -> None:
    path = tmp_path / "big.onnx"
    onnx.save(
        onnx.load_from_string(lstm.SerializeToString()),
        path,
        save_as_external_data=True,
        location="big.data",
        size_threshold=0,
    )
    first = ForeignFile("ONNX", path)
    assert compare(first, write(tmp_path / "b.onnx", lstm)).status == "pass"
    (tmp_path / "big.data").unlink()
    with pytest.raises(MalformedError, match=r"the weights beside .* cannot be read"):
        first.open()


@pytest.fixture
def validate(pipeline: Here) -> Callable[..., tuple[int, str, str]]:
    """``pipeline validate``: exit code, standard output, last line of the errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        done = pipeline("validate", *arguments)
        assert "Traceback" not in done.err
        return done.code, done.out, done.err.splitlines()[-1] if done.err else ""

    return run


def test_the_command_compares_and_reports(
    tmp_path: Path, validate: Callable[..., tuple[int, str, str]], gru: ModelProto
) -> None:
    write(tmp_path / "b.onnx", gru)
    scripted(tmp_path / "a.pt", seeded(Gru))
    pair = ("--torchscript", "a.pt", "--onnx", "b.onnx")
    code, out, error = validate(*pair)
    assert (code, out) == (4, "")
    assert "a.pt is TorchScript" in error
    assert "--trust" in error
    code, out, _ = validate(*pair, "--trust", "--json", "--junit", "j.xml", "--provider", "cpu")
    assert code == 0
    (content,) = json.loads(out)
    assert Validation.model_validate_json(json.dumps(content)).passed
    assert content["model"] == "a.pt → b.onnx"
    assert int(ElementTree.parse(tmp_path / "j.xml").getroot().get("tests", 0)) == 30
    code, out, _ = validate("--onnx", "b.onnx", "--torchscript", "a.pt", "--trust")
    assert code == 0
    assert "TorchScript" in out
    assert "b.onnx → a.pt" in out


def test_the_command_ends_with_the_code_of_what_happened(
    tmp_path: Path, validate: Callable[..., tuple[int, str, str]], gru: ModelProto
) -> None:
    write(tmp_path / "a.onnx", running_sum())
    write(tmp_path / "b.onnx", running_sum("stateN = Sub(x, state)"))
    write(tmp_path / "c.onnx", gru)
    (tmp_path / "text").write_text("hello")
    both = ("--onnx", "a.onnx", "--onnx", "b.onnx")
    for arguments, expected, part in (
        (both, 6, "a.onnx → b.onnx: no match"),
        (("--onnx", "a.onnx"), 2, "two files are compared and 1 are given"),
        ((*both, "--onnx", "c.onnx"), 2, "3 are given"),
        (("--state", "none"), 2, "0 are given"),
        ((*both, "sine-rnn"), 2, "names"),
        ((*both, "--report", "r.html"), 2, "--report"),
        ((*both, "--self-test"), 2, "--self-test"),
        ((*both, "--state", "stat:stateN"), 2, "did you mean 'state'"),
        ((*both, "--provider", "cuda"), 7, "provider 'cuda' is not there"),
        (("--onnx", "a.onnx", "--onnx", "text"), 3, "text is not an ONNX file"),
        (("--torchscript", "text", "--onnx", "a.onnx", "--trust"), 3, "text is not TorchScript"),
        (("--torchscript", "t", "--torchscript", "t"), 4, "--trust"),
    ):
        code, _, error = validate(*arguments)
        assert (code, part in error) == (expected, True), error


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


def test_two_torchscript_files_are_refused(tmp_path: Path) -> None:
    file = scripted(tmp_path / "a.pt", seeded(Gru))
    with pytest.raises(UsageError, match="say nothing of types and shapes"):
        compare(file, file)


def test_the_torchscript_file_of_a_bundle_of_our_own_needs_no_trust_wherever_it_lies(
    tmp_path: Path,
    validate: Callable[..., tuple[int, str, str]],
    tiny_bundle: Callable[[str], Bundle],
) -> None:
    folder = tiny_bundle("sine-rnn").folder
    pair = ("--torchscript", f"{folder}/model.pt", "--onnx", f"{folder}/onnx/model.onnx")
    code, _, error = validate(*pair)
    assert code == 0, error
    (tmp_path / "alone.pt").write_bytes((folder / "model.pt").read_bytes())
    code, _, error = validate("--torchscript", "alone.pt", *pair[2:])
    assert code == 4
    assert "alone.pt is TorchScript" in error


def test_a_provider_that_is_not_there_is_a_row_that_did_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    file = write(tmp_path / "a.onnx", running_sum())
    row = only_row(validate_pair(file, file, ("cuda",), PairChoices()))
    assert row.status == "not run"
    assert "make EXTRA=gpu" in row.reason
    assert not validate_pair(file, file, ("cuda",), PairChoices()).passed
    assert UnavailableError.exit_code == 7
