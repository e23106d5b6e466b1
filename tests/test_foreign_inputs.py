"""Two models that others exported: their states and inputs, found in the files or told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from foreign_models import (
    compare,
    graph,
    running_sum,
    scripted,
    seeded,
    to_onnx,
    write,
)
from onnx import helper
from torch import Tensor, nn

from pipeline.errors import MalformedError, UsageError
from pipeline.validate.foreign.model import OnnxModel
from pipeline.validate.foreign.pair import PairChoices, make_plan


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
