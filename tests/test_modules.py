"""Modules of others: whatever has recurrent layers inside is exported whole."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from module_files import close, eager, infer, leaves, operators, traced
from plain_modules import BATCH_TIME, Plain
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pipeline.export import export_onnx, export_torchscript
from pipeline.export.module.swap import exportable
from pipeline.runtimes.openvino import HINT, load_openvino

LAYERS: dict[str, Callable[..., nn.RNNBase]] = {
    "rnn": nn.RNN,
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
    "projected": lambda *sizes, **options: nn.LSTM(*sizes, proj_size=3, **options),
}


OPERATOR = {"rnn": "RNN", "relu": "RNN", "gru": "GRU", "lstm": "LSTM", "projected": "LSTM"}


class Block(nn.Module):
    """One recurrent stack, what stands around it, and the state it is given or not."""

    def __init__(
        self, kind: str, size: int, around: str, packed: bool, stateful: bool, **options: Any
    ) -> None:
        super().__init__()
        self.layers = LAYERS[kind](size, 4, **options)
        width = (3 if kind == "projected" else 4) * (1 + self.layers.bidirectional)
        self.around, self.packed, self.stateful = around, packed, stateful
        self.before = nn.Conv1d(size, size, 3, padding=1) if around == "conv" else nn.Identity()
        self.norm = nn.LayerNorm(width) if around == "norm" else nn.Identity()
        self.attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.out = nn.Sequential(nn.Dropout(0.3), nn.Linear(width, size))

    def zeros(self, batch: int) -> Any:
        rows = self.layers.num_layers * (1 + self.layers.bidirectional)
        h = torch.zeros(rows, batch, self.layers.proj_size or 4)
        return (h, torch.zeros(rows, batch, 4)) if self.layers.mode == "LSTM" else h

    def forward(self, x: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """x ``[batch, time, size]`` to the same, and the state after it."""
        x = self.before(x.transpose(1, 2)).transpose(1, 2)
        sequence = x if self.layers.batch_first else x.transpose(0, 1)
        first = self.layers.batch_first
        hx = state if self.stateful else None
        if self.packed:
            y, state = self.layers(pack_padded_sequence(sequence, lengths, first, False), hx)
            y, _ = pad_packed_sequence(y, first, padding_value=0.25, total_length=x.size(1))
        else:
            y, state = self.layers(sequence, hx)
        y = self.norm(y if first else y.transpose(0, 1))
        if self.around == "attention":
            y = y + self.attention(y, y, y, need_weights=False)[0]
        return x + self.out(y), state


class Model(nn.Module):
    """An embedding or a linear layer and one to three blocks."""

    def __init__(self, embedded: bool, blocks: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self.encoder = nn.Embedding(9, 5) if embedded else nn.Linear(2, 5)
        self.blocks = nn.ModuleList(Block(size=5, **options) for options in blocks)

    def inputs(self, batch: int, time: int, seed: int) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(seed)
        if isinstance(self.encoder, nn.Embedding):
            x = torch.randint(9, (batch, time), generator=generator)
        else:
            x = torch.randn(batch, time, 2, generator=generator)
        lengths = torch.randint(1, time + 1, (batch,), generator=generator)
        lengths[-1] = time
        zeros = [cast(Block, block).zeros(batch) for block in self.blocks]
        states = torch.utils._pytree.tree_map(
            lambda zero: torch.randn(zero.shape, generator=generator), zeros
        )
        return x, lengths, states

    def forward(self, x: Tensor, lengths: Tensor, states: list[Any]) -> tuple[Tensor, list[Any]]:
        y, after = self.encoder(x), []
        for block, state in zip(self.blocks, states, strict=True):
            y, state = block(y, lengths, state)
            after.append(state)
        return y, after


BLOCKS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(LAYERS)),
        "around": st.sampled_from(["", "conv", "norm", "attention"]),
        "packed": st.booleans(),
        "stateful": st.booleans(),
        "num_layers": st.integers(1, 2),
        "bidirectional": st.booleans(),
        "batch_first": st.booleans(),
        "bias": st.booleans(),
    }
)


@given(
    embedded=st.booleans(),
    blocks=st.lists(BLOCKS, min_size=1, max_size=2),
    example=st.tuples(st.integers(1, 4), st.integers(2, 6)),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=int(os.environ.get("MODULES", "5")), deadline=None)
def test_random_modules_give_pytorchs_numbers_at_other_sizes(
    tmp_path_factory: pytest.TempPathFactory,
    embedded: bool,
    blocks: list[dict[str, Any]],
    example: tuple[int, int],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    module = Model(embedded, blocks).eval()
    path = tmp_path_factory.mktemp("random") / "model.onnx"
    inputs = module.inputs(*example, seed)
    axes = {"x": {0: "batch", 1: "time"}, "lengths": {0: "batch"}}
    axes |= {f"states_{i}": {1: "batch"} for i in range(len(leaves(inputs[2])))}
    export_onnx(module, inputs, path, dynamic_axes=axes)
    expected = Counter[str]()
    for block in blocks:
        expected[OPERATOR[block["kind"]]] += block["num_layers"]
    found = operators(path)
    assert {name: found[name] for name in ("RNN", "GRU", "LSTM")} == {
        name: expected[name] for name in ("RNN", "GRU", "LSTM")
    }
    for batch, time in ((1, 1), (3, 17), (example[0] + 1, example[1] + 1)):
        others = module.inputs(batch, time, seed + 1)
        assert close(infer(path, others), eager(module, others))


def test_an_example_of_one_stream_does_not_freeze_what_pytorch_broadcasts(tmp_path: Path) -> None:
    block = {"kind": "gru", "packed": False, "stateful": False}
    module = Model(False, [block | {"around": "norm"}, block | {"around": "attention"}]).eval()
    axes = {"x": {0: "batch", 1: "time"}, "lengths": {0: "batch"}}
    axes |= {"states_0": {1: "batch"}, "states_1": {1: "batch"}}
    export_onnx(module, module.inputs(1, 2, 0), tmp_path / "m.onnx", dynamic_axes=axes)
    others = module.inputs(3, 17, 1)
    assert close(infer(tmp_path / "m.onnx", others), eager(module, others))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_operators_follow_the_onnx_specification_in_eager_mode(
    kind: str, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    block = {"kind": kind, "around": "", "stateful": True, "bidirectional": bidirectional}
    module = Model(
        False, [block | {"packed": True, "num_layers": 2}, block | {"packed": False}]
    ).eval()
    inputs = module.inputs(4, 6, 0)
    expected = eager(module, inputs)
    with exportable(module):
        assert close(eager(module, inputs), expected)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_reference_evaluator_and_openvino_agree(kind: str, tmp_path: Path) -> None:
    module = Plain(LAYERS[kind](3, 4, 2, bidirectional=True, batch_first=True), 8).eval()
    module.head = nn.Linear(6 if kind == "projected" else 8, 2)
    export_onnx(module, torch.randn(2, 3, 3), tmp_path / "m.onnx", dynamic_axes=BATCH_TIME)
    x = torch.randn(3, 9, 3)
    model = onnx.load(tmp_path / "m.onnx")
    core = load_openvino().Core()
    compiled = core.compile_model(core.read_model(tmp_path / "m.onnx"), "CPU", {HINT: "f32"})
    found = [torch.from_numpy(y) for y in compiled([x.numpy()]).values()]
    assert close(found, eager(module, [x]))
    if kind != "relu":  # which the evaluator does not have
        arrays = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x.numpy()})
        assert close([torch.from_numpy(y) for y in arrays], eager(module, [x]))


def test_torchscript_gives_pytorchs_numbers_at_other_sizes(tmp_path: Path) -> None:
    module = Model(True, [{"kind": "gru", "around": "conv", "packed": True, "stateful": True}])
    axes = {"x": {0: "batch", 1: "time"}, "lengths": {0: "batch"}, "states_0": {1: "batch"}}
    export_torchscript(module, module.inputs(2, 4, 0), tmp_path / "m.pt", dynamic_axes=axes)
    others = module.inputs(5, 11, 1)
    assert close(traced(tmp_path / "m.pt", others), eager(module.eval(), others))


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    readme = Path(__file__).parents[1] / "pipeline/export/README.md"
    block = re.search(r"```python\n(import torch.*?)```", readme.read_text("utf-8"), flags=re.S)
    assert block
    code = block[1].replace('"tagger.', f'"{tmp_path.as_posix()}/tagger.')
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    others = torch.randint(50, (4, 9)), torch.tensor([3, 9, 1, 5])
    expected = eager(namespace["tagger"].eval(), others)
    assert close(infer(tmp_path / "tagger.onnx", others), expected)
    assert close(traced(tmp_path / "tagger.pt", others), expected)
    assert operators(tmp_path / "tagger.onnx")["LSTM"] == 2
