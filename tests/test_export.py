"""Every exported graph keeps the contract, and the checks refuse those that do not."""

import io
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import open_session

from pipeline.cells import ENTRIES
from pipeline.config import CELLS, PRESETS, Cell, SeriesModel, TextModel
from pipeline.contract import Scaler
from pipeline.contract.law import FLOAT32
from pipeline.errors import ParityError
from pipeline.export import OPSETS, export
from pipeline.export.network.checks import check_graph, check_numbers
from pipeline.export.network.layers import onnx_layers
from pipeline.export.network.onnx_graph import to_onnx
from pipeline.export.network.torchscript import to_torchscript
from pipeline.model import Network

SCALER = Scaler(
    input_mean=(1.5, -20.0), input_std=(0.5, 8.0), output_mean=(3.0,), output_std=(0.25,)
)
VOCABULARY = "\n abcé…🦊"


def network(task: str, cell: Cell, hidden_size: int = 6, num_layers: int = 2) -> Network:
    if task == "text":
        config = TextModel(
            cell=cell, hidden_size=hidden_size, num_layers=num_layers, embedding_size=5
        )
        return Network(config, vocabulary=VOCABULARY).eval()
    series = SeriesModel(
        cell=cell, hidden_size=hidden_size, num_layers=num_layers, features=2, targets=1
    )
    return Network(series, scaler=SCALER).eval()


def inputs(model: Network, batch: int, time: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    state = rng.uniform(-1, 1, model.zero_state(batch).shape).astype(np.float32)
    if model.vocabulary is None:
        return rng.normal(0, 9, (batch, time, 2)).astype(np.float32), state
    points = [*map(ord, model.vocabulary), 0, -1, 0x10FFFF, 2**40]
    return rng.choice(points, (batch, time)), state


def eager(model: Network, source: np.ndarray, state: np.ndarray) -> list[np.ndarray]:
    with torch.inference_mode():
        return [y.numpy() for y in model(torch.from_numpy(source), torch.from_numpy(state))]


def close(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return all(
        np.allclose(f, e, rtol=FLOAT32.rtol, atol=FLOAT32.atol)
        for f, e in zip(found, expected, strict=True)
    )


@given(
    task=st.sampled_from(["series", "text"]),
    cell=st.sampled_from(CELLS),
    num_layers=st.integers(1, 3),
    hidden_size=st.integers(1, 40),
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 40)), min_size=1, max_size=3),
    cut=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=15, deadline=None)
def test_any_architecture_gives_pytorchs_numbers_at_any_size_and_chunking(
    task: str,
    cell: Cell,
    num_layers: int,
    hidden_size: int,
    sizes: list[tuple[int, int]],
    cut: float,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    model = network(task, cell, hidden_size, num_layers)
    onnx_file, torchscript_file = export(model, "random")
    session = open_session(onnx_file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        traced = torch.jit.load(io.BytesIO(torchscript_file))
    for batch, time in sizes:
        source, state = inputs(model, batch, time, seed)
        expected = eager(model, source, state)
        assert close(session.run(None, {"input": source, "state": state}), expected)
        assert close(eager(traced, source, state), expected)
        pieces = [piece for piece in np.split(source, [round(cut * time)], axis=1) if piece.size]
        outputs, carried = [], state
        for piece in pieces:
            output, carried = session.run(None, {"input": piece, "state": carried})
            outputs.append(output)
        assert close([np.concatenate(outputs, axis=1), carried], expected)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("task", ["series", "text"])
def test_two_layers_need_at_most_twenty_nodes(task: str, cell: Cell) -> None:
    graph = to_onnx(network(task, cell), "small").graph
    assert len(graph.node) <= 20
    assert [n.op_type for n in graph.node].count(ENTRIES[cell].operator) == 2


@pytest.mark.parametrize("cell", CELLS)
def test_the_operators_follow_the_onnx_specification_in_eager_mode(cell: Cell) -> None:
    model = network("series", cell)
    source, state = inputs(model, 3, 7)
    expected = eager(model, source, state)
    with onnx_layers(model):
        assert close(eager(model, source, state), expected)
    assert isinstance(model.recurrent.layers, torch.nn.RNNBase)  # swapped back


@pytest.mark.parametrize("cell", CELLS)
def test_the_onnx_reference_evaluator_agrees(cell: Cell) -> None:
    model = network("text", cell)
    evaluator = onnx.reference.ReferenceEvaluator(to_onnx(model, "reference"))
    source, state = inputs(model, 2, 5)
    found = evaluator.run(None, {"input": source, "state": state})
    assert isinstance(found, list)
    assert close(found, eager(model, source, state))


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_on_offer_can_be_exported_and_run(opset: int) -> None:
    onnx_file, _ = export(network("series", "gru"), "versions", opset)
    assert onnx.load_from_string(onnx_file).opset_import[0].version == opset


def test_the_default_opset_is_paired_with_the_ir_version_that_old_runtimes_read() -> None:
    model = to_onnx(network("series", "lstm"), "old")
    assert (model.opset_import[0].version, model.ir_version) == (18, 8)


def test_the_graph_says_nothing_of_the_machine_that_made_it() -> None:
    model = network("text", "lstm")
    onnx_file, torchscript_file = export(model, "clean")
    archive = zipfile.ZipFile(io.BytesIO(torchscript_file))
    content = onnx_file + b"".join(archive.read(name) for name in archive.namelist())
    for trace in (str(Path(__file__).parents[1]), torch.__file__, "stack_trace"):
        assert trace.encode() not in content


def test_other_traces_in_the_process_do_not_change_the_bytes() -> None:
    model = network("text", "lstm")
    before = to_torchscript(model)
    to_torchscript(network("series", "gru"))
    assert to_torchscript(model) == before


def test_exporting_warns_of_nothing(
    recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    export(network("series", "rnn"), "quiet")
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_the_contract_travels_in_the_metadata() -> None:
    model = to_onnx(network("text", "lstm"), "facts")
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["vocabulary"] == VOCABULARY
    assert '"rows": ["h_0", "h_1", "c_0", "c_1"]' in facts["state"]


def _set(node: onnx.NodeProto, name: str, value: object) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if value is not None:
        node.attribute.append(onnx.helper.make_attribute(name, value))


def _broken_graphs() -> Iterator[tuple[str, str, Callable[[onnx.ModelProto], None]]]:
    def recurrent(model: onnx.ModelProto) -> onnx.NodeProto:
        node: onnx.NodeProto = next(node for node in model.graph.node if node.op_type == "GRU")
        return node

    yield (
        "linear_before_reset",
        "needs linear_before_reset=1",
        lambda m: _set(recurrent(m), "linear_before_reset", None),
    )
    yield "clip", "must not set clip", lambda m: _set(recurrent(m), "clip", 3.0)
    yield "layout", "must not set layout", lambda m: _set(recurrent(m), "layout", 1)
    yield (
        "direction",
        "must not set direction",
        lambda m: _set(recurrent(m), "direction", "reverse"),
    )

    def freeze(axis: int) -> Callable[[onnx.ModelProto], None]:
        def change(model: onnx.ModelProto) -> None:
            for value in (*model.graph.input[:1], *model.graph.output[:1]):
                value.type.tensor_type.shape.dim[axis].Clear()
                value.type.tensor_type.shape.dim[axis].dim_value = 3

        return change

    yield "batch", "tensors", freeze(0)
    yield "time", "tensors", freeze(1)

    def rename(model: onnx.ModelProto) -> None:
        model.graph.input[0].name = "x"
        for node in model.graph.node:
            node.input[:] = ["x" if name == "input" else name for name in node.input]

    yield "name", "tensors", rename

    def drop_layer(model: onnx.ModelProto) -> None:
        last = [node for node in model.graph.node if node.op_type == "GRU"][-1]
        last.op_type, last.name = "Identity", "gone"

    yield "layer", "1 recurrent nodes, not 2", drop_layer

    def forget_shape(model: onnx.ModelProto) -> None:
        del model.graph.value_info[:]

    yield "shapes", "no dynamic batch", forget_shape


BROKEN = {name: (message, change) for name, message, change in _broken_graphs()}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_graph_that_breaks_the_contract_is_refused(fault: str) -> None:
    message, change = BROKEN[fault]
    model = network("series", "gru")
    graph = to_onnx(model, "broken")
    check_graph(graph, model)
    change(graph)
    with pytest.raises(ParityError, match=message):
        check_graph(graph, model)


def test_a_graph_with_other_weights_is_refused() -> None:
    model = network("series", "lstm")
    onnx_file, torchscript_file = export(model, "weights")
    with torch.no_grad():
        model.head.bias.add_(0.01)
    with pytest.raises(ParityError, match="ONNX gives another output"):
        check_numbers(onnx_file, torchscript_file, model)
    with pytest.raises(ParityError, match="TorchScript gives another output"):
        check_numbers(to_onnx(model, "weights").SerializeToString(), torchscript_file, model)


def test_a_network_that_amplifies_rounding_is_exported_all_the_same() -> None:
    torch.manual_seed(1)
    model = network("series", "rnn", hidden_size=90, num_layers=3)
    with torch.no_grad():
        for weight in model.recurrent.parameters():
            weight.mul_(4)
    onnx_file, torchscript_file = export(model, "chaotic")
    with torch.no_grad():
        model.head.bias.add_(0.01)
    with pytest.raises(ParityError):
        check_numbers(onnx_file, torchscript_file, model)


def test_characters_outside_the_vocabulary_become_the_unknown_entry() -> None:
    model = network("text", "gru")
    table = model.encoder[0]  # type: ignore[index]
    points = [-(2**40), -1, 0, ord("a"), ord("z"), ord("🦊"), ord("🦊") + 1, 0x10FFFF, 2**40]
    expected = [0, 0, 0, VOCABULARY.index("a") + 1, 0, VOCABULARY.index("🦊") + 1, 0, 0, 0]
    assert table(torch.tensor([points])).tolist() == [expected]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_signature_is_that_of_the_design(preset: str) -> None:
    task, cell = preset.split("-")
    model = network("text" if task == "char" else "series", cell)  # type: ignore[arg-type]
    rows = 4 if cell == "lstm" else 2
    assert model.tensors.state.shape == ("batch", rows, 6)
    assert model.tensors.input.shape == (
        ("batch", "time") if task == "char" else ("batch", "time", 2)
    )
    assert model.tensors.output.shape == ("batch", "time", 9 if task == "char" else 1)
