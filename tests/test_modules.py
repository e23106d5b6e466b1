"""Modules of others: whatever has recurrent layers inside is exported whole, or refused by name."""

import copy
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any, cast

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from module_files import close, eager, infer, leaves, operators, traced
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from pipeline.errors import MalformedError, ParityError, UsageError
from pipeline.export import export_onnx, export_torchscript
from pipeline.export.module.swap import exportable
from pipeline.export.recurrent import OnnxLayers
from pipeline.runtimes.openvino import HINT, load_openvino

BATCH_TIME = {"x": {0: "batch", 1: "time"}}
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


class Plain(nn.Module):
    """A recurrent layer and a head, as most people write it."""

    def __init__(self, layers: nn.RNNBase, width: int) -> None:
        super().__init__()
        self.layers = layers
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.layers.flatten_parameters()
        assert isinstance(self.layers, nn.RNNBase)  # during the export too
        y: Tensor = self.head(self.layers(x)[0])
        return y


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


def snapshot(module: nn.Module) -> list[object]:
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    return [
        [(name, type(child), child.training) for name, child in module.named_modules()],
        [(name, sorted(vars(child))) for name, child in module.named_modules()],
        [(name, tensor.tolist()) for name, tensor in state.items()],
        [parameter.requires_grad for parameter in module.parameters()],
    ]


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.sum() > 0:
            x = x - 1
        return x


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_left_as_it_was(fails: bool, tmp_path: Path) -> None:
    module = nn.Sequential(Plain(nn.LSTM(3, 4, 2, dropout=0.5), 4), nn.BatchNorm1d(2).eval())
    module[1] = Refuses() if fails else nn.Dropout(0.5)
    forwards = [kind.forward for kind in (nn.RNN, nn.LSTM, nn.GRU)]
    before = snapshot(module)
    if fails:
        with pytest.raises(MalformedError):
            export_onnx(module, torch.randn(3, 2, 3), tmp_path / "m.onnx")
    else:
        export_onnx(module, torch.randn(3, 2, 3), tmp_path / "m.onnx")
    assert snapshot(module) == before
    assert module.training
    assert forwards == [kind.forward for kind in (nn.RNN, nn.LSTM, nn.GRU)]
    assert (tmp_path / "m.onnx").exists() is not fails
    layers = copy.deepcopy(module)
    with exportable(layers):
        assert any(isinstance(child, OnnxLayers) for child in layers.modules())
    assert snapshot(layers) == before


class Own(nn.LSTM):
    """A class of LSTM that someone wrote, by ``super()``."""

    def forward(self, x: Any, hx: Any = None, scale: float = 2.0) -> Any:
        y, state = super().forward(x, hx)
        return (y if isinstance(y, PackedSequence) else scale * y), state


class Named(nn.GRU):
    """A class of GRU that calls PyTorch's method by its name."""

    def forward(self, x: Any, hx: Any = None) -> Any:
        y, state = nn.GRU.forward(self, x, hx)
        return y, -state


class Shouts(nn.RNN):
    """A class that adds nothing that runs."""


class Outsiders(nn.Module):
    """Layers of classes that are not torch's own, and of those that are; one is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.named = Own(3, 3, batch_first=True), Named(3, 3, 2, batch_first=True)
        self.shouts = Shouts(3, 3, batch_first=True, bidirectional=True)
        self.plain = nn.LSTM(6, 3, batch_first=True)
        weight_norm(self.plain, "weight_hh_l0")
        self.plain.register_forward_hook(lambda layer, x, y: (y[0] + 1, y[1]))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        x, _ = self.own(x, scale=0.5)
        y, state = self.named(x)
        x = x + self.own(y)[0]
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, _ = self.named(self.own(packed)[0], state)
        y, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.size(1))
        found: Tensor = self.plain(self.shouts(y)[0])[0]
        return found if isinstance(self.plain, nn.LSTM) else -found


def test_classes_that_others_derived_from_recurrent_layers_are_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Outsiders().eval()
    inputs = torch.randn(2, 4, 3), torch.tensor([4, 2])
    axes = BATCH_TIME | {"lengths": {0: "batch"}}
    export_onnx(module, inputs, tmp_path / "m.onnx", dynamic_axes=axes)
    others = torch.randn(3, 7, 3), torch.tensor([5, 7, 1])
    assert close(infer(tmp_path / "m.onnx", others), eager(module, others))
    found = operators(tmp_path / "m.onnx")
    assert {name: found[name] for name in ("LSTM", "GRU", "RNN")} == {"LSTM": 4, "GRU": 4, "RNN": 1}


class AsksForItsClass(Plain):
    def forward(self, x: Tensor) -> Tensor:
        y, state = self.layers(x)
        if type(self.layers) == nn.LSTM:  # noqa: E721, as many write it
            state = state[0]
        found: Tensor = self.head(y + state.transpose(0, 1))
        return found


def test_a_layer_of_torchs_own_class_keeps_it_during_the_export(tmp_path: Path) -> None:
    module = AsksForItsClass(nn.LSTM(3, 4, batch_first=True), 4).eval()
    export_onnx(module, torch.randn(2, 4, 3), tmp_path / "m.onnx", dynamic_axes=BATCH_TIME)
    x = torch.randn(3, 9, 3)
    assert close(infer(tmp_path / "m.onnx", [x]), eager(module, [x]))


def test_layers_outside_of_the_module_run_unchanged_while_it_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    outside, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    expected, forward = eager(outside, [x]), nn.LSTM.forward
    unchanged: list[bool] = []

    def elsewhere() -> None:
        packed = outside(pack_padded_sequence(x, torch.tensor([5, 5])))[0]
        found = [*eager(outside, [x]), packed.data.unflatten(0, (5, 2))]
        unchanged.append(nn.LSTM.forward is forward and close(found, [*expected, expected[0]]))

    class Meanwhile(Plain):
        def forward(self, x: Tensor) -> Tensor:
            thread = Thread(target=elsewhere)
            thread.start()
            thread.join()
            return super().forward(x)

    module = Meanwhile(nn.LSTM(3, 4), 4)
    export_onnx(module, torch.randn(4, 2, 3), tmp_path / "m.onnx")
    assert len(unchanged) > 1
    assert all(unchanged)


def test_two_modules_are_made_exportable_at_once() -> None:
    torch.manual_seed(0)
    first, second = (Plain(nn.LSTM(3, 4), 4).eval() for _ in range(2))
    x, forward = torch.randn(4, 2, 3), nn.LSTM.forward
    expected = eager(first, [x]) + eager(second, [x])
    with ExitStack() as ends_first:
        ends_first.enter_context(exportable(first))
        with ThreadPoolExecutor(1) as other:
            ends_last = exportable(second)
            other.submit(ends_last.__enter__).result()
            found = eager(first, [x])
            ends_first.close()
            found += other.submit(eager, second, [x]).result()
            other.submit(ends_last.__exit__, None, None, None).result()
    assert close(found, expected)
    assert nn.LSTM.forward is forward
    assert [type(child) for child in second.modules()] == [Plain, nn.LSTM, nn.Linear]


class Stepwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), 3)
        for step in x.unbind(1):
            h = self.cell(step, h)
        return h


class Leaping(Stepwise):
    """A loop over every other step, whose steps are not all alike."""

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), 3)
        for place in range(0, x.size(1), 2):
            h = self.cell(x[:, place], h)
        return h


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.special.bessel_j0(x)
        return y


class OneGru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.GRU(3, 3)


class TakesPacked(OneGru):
    def forward(self, x: Any) -> Any:
        return self.layers(x)[0]


class HandMade(OneGru):
    def forward(self, x: Tensor) -> Tensor:
        sizes = torch.tensor([x.size(0)] * x.size(1))
        h: Tensor = self.layers(PackedSequence(x.transpose(0, 1).flatten(0, 1), sizes))[1]
        return h


class Mistaken(TakesPacked):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.GRU(4, 3)


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "branch": (Refuses(), r"'1\.inner' \(Refuses\).* depends on numbers"),
    "loop": (Leaping(), r"'1\.inner' \(Leaping\).* loop at test_modules\.py:.* torch's scan"),
    "operator": (Bessel(), r"'1\.inner' \(Bessel\).* No ONNX function found"),
    "packed by hand": (HandMade(), r"'1\.inner\.layers' \(GRU\).* pack_padded_sequence"),
    "size": (Mistaken(), "fails in PyTorch already, at .*: RuntimeError: .* Expected 4, got 3"),
}


class Inside(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_refused_with_its_place_and_reason(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inner, message = REFUSED[case]
    module = nn.Sequential(nn.Linear(3, 3), Inside(inner))
    axes = {"input": {0: "batch", 1: "time"}}
    with pytest.raises(MalformedError, match=message) as refused:
        export_onnx(module, torch.randn(2, 4, 3), tmp_path / "m.onnx", dynamic_axes=axes)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_loop_over_an_axis_that_is_not_dynamic_is_exported(tmp_path: Path) -> None:
    axes = {"x": {0: "batch"}}
    export_onnx(Stepwise(), torch.randn(2, 4, 3), tmp_path / "m.onnx", dynamic_axes=axes)


def test_packed_inputs_and_outputs_are_refused(tmp_path: Path) -> None:
    packed = pack_padded_sequence(torch.randn(4, 2, 3), torch.tensor([4, 2]))
    with pytest.raises(MalformedError, match="takes a PackedSequence as 'x'"):
        export_onnx(TakesPacked(), (packed,), tmp_path / "m.onnx")

    class GivesPacked(OneGru):
        def forward(self, x: Tensor, lengths: Tensor) -> Any:
            return self.layers(pack_padded_sequence(x, lengths))[0]

    with pytest.raises(MalformedError, match=r"gives a PackedSequence.*pad_packed_sequence"):
        export_onnx(
            GivesPacked(), (torch.randn(4, 2, 3), torch.tensor([4, 2])), tmp_path / "m.onnx"
        )


class Pooled(OneGru):
    """The mean over the steps that pad_packed_sequence gives, so over the longest sequence."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.layers(packed)[0], batch_first=True)[0].mean(1)


def test_a_module_that_counts_the_padding_is_refused(tmp_path: Path) -> None:
    inputs = torch.randn(2, 4, 3), torch.tensor([4, 2])
    axes = BATCH_TIME | {"lengths": {0: "batch"}}
    with pytest.raises(ParityError, match=r"output 0 is off by.*total_length"):
        export_onnx(Pooled(), inputs, tmp_path / "m.onnx", dynamic_axes=axes)
    full = torch.randn(3, 7, 3), torch.tensor([2, 7, 7])  # as it is meant to be used
    export_onnx(
        Pooled(), inputs, tmp_path / "m.onnx", dynamic_axes=axes, check_inputs=[full, inputs]
    )
    with pytest.raises(UsageError, match="check_inputs has 1 tensors, not 2"):
        export_onnx(Pooled(), inputs, tmp_path / "m.onnx", check_inputs=[full[:1]])


def test_an_axis_that_cannot_change_in_pytorch_is_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    axes = {"input": {1: "time"}}
    with pytest.raises(MalformedError, match="'time' that PyTorch runs at no other size"):
        export_onnx(module, torch.randn(2, 4, 3), tmp_path / "m.onnx", dynamic_axes=axes)


def test_what_onnx_runtime_cannot_run_is_refused(tmp_path: Path) -> None:
    module = Plain(nn.LSTM(3, 4), 4).double()
    with pytest.raises(MalformedError, match=r"no recurrent layer of float64; give .*float\(\)"):
        export_onnx(module, torch.randn(2, 4, 3).double(), tmp_path / "m.onnx")


def test_unbatched_input_and_declared_names(tmp_path: Path) -> None:
    export_onnx(
        nn.LSTM(3, 4, bidirectional=True, proj_size=2),
        torch.randn(5, 3),
        tmp_path / "m.onnx",
        input_names=["frames"],
        output_names=["y", "h", "c"],
        dynamic_axes={"frames": {0: "time"}, "y": {0: "time"}},
    )
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["frames", "y", "h", "c"]
    assert graph.output[0].type.tensor_type.shape.dim[0].dim_param == "time"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamic_axes": {"y": {0: "batch"}}}, "no input or output is called 'y'"),
        ({"dynamic_axes": {"input": {3: "batch"}}}, "an axis of it is 0 to 2"),
        ({"dynamic_axes": {"input": {0: "n", 1: "n"}}}, "give the two sizes two names"),
        ({"input_names": ["a", "b"]}, "1 different input names are needed"),
        ({"output_names": ["a"]}, "2 different output names are needed"),
        ({"opset": 9}, "18 to 23"),
    ],
)
def test_wrong_names_axes_and_opsets_are_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        export_onnx(nn.GRU(3, 4), torch.randn(4, 2, 3), tmp_path / "m.onnx", **options)


class Carries(OneGru):
    """Keeps its state to itself, where a pure function cannot see it."""

    h: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("h", torch.zeros(1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor
        y, self.h = self.layers(x, self.h)
        return y


class Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


@pytest.mark.parametrize(
    ("inner", "message"),
    [(Carries(), r"since it keeps '1\.h'; a graph"), (Draws(), "since it draws random numbers")],
)
@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
def test_what_is_no_function_of_its_inputs_is_refused(
    export: Callable[..., None], inner: nn.Module, message: str, tmp_path: Path
) -> None:
    with pytest.raises(MalformedError, match=message):
        export(nn.Sequential(nn.Identity(), inner), torch.randn(4, 2, 3), tmp_path / "model")
    assert not list(tmp_path.iterdir())


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
