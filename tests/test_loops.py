"""Graphs with the loop inside: their edges, their rows, and that faults in them are found."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import NodeProto, helper
from tiny import refused, validation_of

from pipeline.bundle import Bundle, network_of
from pipeline.bundle.network import network_reference
from pipeline.config import SeriesModel, TextModel
from pipeline.contract import Scaler
from pipeline.contract.records import SeriesScores
from pipeline.errors import ParityError
from pipeline.export import export, export_loop
from pipeline.export.network.script import SeriesLoop, TextLoop
from pipeline.export.network.torchscript import to_torchscript
from pipeline.model import Network
from pipeline.network_tensors import LOG_PROB, NEXT_STATE, STATE, TEXT, loop
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.runtimes.torchscript import TorchScript
from pipeline.validate.loops import loop_row
from pipeline.validate.loops.cases import ForecastCase, TextCase, forecasts, generations
from pipeline.validate.loops.compare import compare_text
from pipeline.verify import TaskReference


def fresh_network(config: SeriesModel | TextModel) -> Network:
    torch.manual_seed(0)
    if isinstance(config, TextModel):
        return Network(config, vocabulary="abcdé ").eval()
    numbers = (1.0,) * config.features, (2.0,) * config.features
    out = (1.0,) * config.targets, (2.0,) * config.targets
    scaler = Scaler(
        input_mean=numbers[0], input_std=numbers[1], output_mean=out[0], output_std=out[1]
    )
    return Network(config, scaler=scaler).eval()


@pytest.mark.parametrize(
    "config",
    [
        TextModel(cell="gru", hidden_size=3, bidirectional=True, readout="final"),
        SeriesModel(cell="rnn", hidden_size=3, features=2, targets=1),
    ],
)
def test_a_model_that_cannot_feed_itself_has_no_loop(config: SeriesModel | TextModel) -> None:
    assert loop(config) is None


@pytest.mark.parametrize(
    "config",
    [
        SeriesModel(cell="lstm", hidden_size=5, num_layers=2, proj_size=2, features=3, targets=3),
        TextModel(cell="lstm", hidden_size=5, num_layers=2, proj_size=2),
        TextModel(cell="gru", hidden_size=5, num_layers=3, embedding_size=2),
    ],
)
def test_several_targets_layers_and_projections_go_round(
    config: SeriesModel | TextModel,
) -> None:
    network, spread = fresh_network(config), [0.1, 0.2, 0.3]
    onnx_file, torchscript_file = export(network, "three", spread=spread)
    file = export_loop(onnx_file, network, spread)
    contract = loop(config)
    assert file is not None
    assert contract is not None
    rng = np.random.default_rng(0)
    cases: list[TextCase] | list[ForecastCase]
    if isinstance(config, TextModel):
        text = rng.choice([*map(ord, "abcdé x")], 700)
        cases = list(generations(network_reference(network, text)))
    else:
        series = rng.normal(1, 2, (200, 3)).astype(np.float32)
        cases = list(forecasts(network_reference(network, series), spread))
    for runtime in (OnnxRuntime(file, "cpu"), TorchScript(torchscript_file)):
        row = loop_row("three", contract, runtime, cases)
        assert row.status == "pass", row.reason


def disguised(file: bytes) -> bytes:
    """The same graph with other names inside, its nodes in another order that goes as well."""
    model = onnx.load_from_string(file)
    graph, rng = model.graph, np.random.default_rng(0)
    known = {value.name for value in (*graph.input, *graph.output)} | {""}

    names = sorted({name for node in graph.node for name in (*node.input, *node.output)} - known)
    numbers = dict(zip(names, rng.permutation(len(names)), strict=True))

    def other(name: str) -> str:
        return f"t{numbers[name]}" if name in numbers else name

    for weight in graph.initializer:
        weight.name = other(weight.name)
    for node in graph.node:
        node.name = ""
        node.input[:], node.output[:] = map(other, node.input), map(other, node.output)
    del graph.value_info[:]
    waiting = list(graph.node)
    ready = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    del graph.node[:]
    while waiting:
        able = [k for k, node in enumerate(waiting) if ready.issuperset(node.input)]
        node = waiting.pop(able[-1])  # the last of those that may come next
        ready.update(node.output)
        graph.node.append(node)
    onnx.checker.check_model(model)
    found: bytes = model.SerializeToString()
    return found


@pytest.mark.parametrize(
    "config",
    [
        TextModel(cell="lstm", hidden_size=5, num_layers=2, proj_size=2),
        TextModel(cell="gru", hidden_size=5),
        SeriesModel(cell="lstm", hidden_size=5, num_layers=2),
    ],
)
def test_names_and_order_inside_the_core_graph_do_not_matter(
    config: SeriesModel | TextModel,
) -> None:
    network = fresh_network(config)
    core, _ = export(network, "core")
    other = disguised(core)
    files = [export_loop(file, network, None) or b"" for file in (core, other)]
    assert core != other
    assert files[0] != files[1]
    if isinstance(config, TextModel):
        points = np.array([ord(character) for character in network.vocabulary or ""])
        feeds = next(generations(network_reference(network, np.resize(points, 100)))).feeds
    else:
        flat = network_reference(network, np.zeros((100, 1), np.float32))
        feeds = next(forecasts(flat, [0.1])).feeds
    found = [OnnxRuntime(file, "cpu").call(feeds) for file in files]
    for some, others in zip(*found, strict=True):
        np.testing.assert_allclose(some, others, rtol=1e-5, atol=1e-6)


def test_a_core_graph_of_another_form_is_refused() -> None:
    network = fresh_network(SeriesModel(cell="gru", hidden_size=3))
    core, _ = export(network, "core")
    model = onnx.load_from_string(core)
    model.graph.node.append(helper.make_node("Transpose", [STATE], ["turned"], perm=[1, 0, 2]))
    with refused(ParityError, "2 nodes of type Transpose", "reads the state", "constraints.txt"):
        export_loop(model.SerializeToString(), network, None)


class Writes(Network, TextLoop):
    """A text network whose loop is run by Python, not by TorchScript."""

    points: list[int]


class Forecasts(Network, SeriesLoop):
    """The same of a series."""

    spread: list[float]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_python_runs_the_loop_of_a_text_as_torchscript_does(temperature: float) -> None:
    network = fresh_network(TextModel(cell="gru", hidden_size=5, embedding_size=2))
    eager = Writes(network.config, vocabulary=network.vocabulary)
    eager.load_state_dict(network.state_dict())
    eager.points = [ord(character) for character in network.vocabulary or ""]
    prompt = torch.tensor([[ord("a"), ord("d")]] * 3)
    uniform = torch.rand(3, 20, generator=torch.Generator().manual_seed(0))
    given = prompt, uniform, temperature, 4, 0.9, network.zero_state(3)
    with torch.no_grad():
        expected = eager.generate(*given)
        found = TorchScript(to_torchscript(network)).module.generate(*given)
    assert expected[0].equal(found[0])
    assert (temperature == 0) == (len(expected[0].unique(dim=0)) == 1)
    torch.testing.assert_close(expected[1:], found[1:])


def test_python_runs_the_loop_of_a_series_as_torchscript_does() -> None:
    network = fresh_network(SeriesModel(cell="rnn", hidden_size=5, features=2, targets=2))
    eager = Forecasts(network.config, scaler=network.scaler)
    eager.load_state_dict(network.state_dict())
    eager.spread = [0.1, 0.2]
    generator = torch.Generator().manual_seed(0)
    history, noise = (torch.randn(2, 4, n, generator=generator) for n in (2, 9))
    given = history, 9, noise, network.zero_state(2)
    with torch.no_grad():
        expected = eager.forecast(*given)
        found = TorchScript(to_torchscript(network, eager.spread)).module.forecast(*given)
    assert expected[1].shape == (2, 4, 9, 2)
    torch.testing.assert_close(expected, found)


@pytest.mark.parametrize("preset", ["char-rnn", "char-lstm", "sine-gru"])
def test_every_runtime_has_a_row_for_the_loop(
    tiny_bundle: Callable[[str], Bundle], preset: str
) -> None:
    bundle = tiny_bundle(preset)
    graph = "generate" if preset.startswith("char") else "forecast"
    names = ("onnxruntime", "torchscript", "openvino")
    loops = validation_of(bundle, names, graph=graph).rows
    assert {row.label.rpartition(", ")[2] for row in loops} == {graph}
    ran = [(row.runtime.partition(" ")[0], row.runtime.endswith(", default")) for row in loops]
    expected = [("onnxruntime", False), ("TorchScript", False), ("openvino", False)]
    if ("openvino", True) in ran:  # float32 is what it chooses on this processor
        expected.insert(2, ("openvino", True))
    assert ran == expected
    assert all(row.status == "pass" for row in loops)
    assert {record.case for record in loops[0].cases} >= (
        {"greedy", "all filters", "empty prompt", "no steps", "top-p 0", "unknown characters"}
        if preset.startswith("char")
        else {"forecast", "forecast with samples", "empty history", "no steps"}
    )


def broken(file: bytes, old: str, new: str) -> bytes:
    """The graph with one operator in place of another in its body."""
    model = onnx.load_from_string(file)
    scan = next(node for node in model.graph.node if node.op_type == "Scan")
    found = next(node for node in inner_nodes(scan) if node.op_type == old)
    found.op_type = new
    changed: bytes = model.SerializeToString()
    return changed


def inner_nodes(node: NodeProto) -> Iterator[NodeProto]:
    """The nodes of the bodies and branches of ``node``, as deep as they go."""
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield inner
            yield from inner_nodes(inner)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Greater", "GreaterOrEqual"),
        ("ArgMax", "ArgMin"),
        ("Softmax", "LogSoftmax"),
        ("Mul", "Div"),
    ],
)
def test_a_fault_in_the_sampler_is_found_with_its_place(
    tiny_bundle: Callable[[str], Bundle], old: str, new: str
) -> None:
    bundle = tiny_bundle("char-gru")
    contract = bundle.manifest.loop
    assert contract is not None
    file = broken(bundle.read("onnx/generate.onnx"), old, new)
    cases = list(generations(reference_of(bundle)))
    row = loop_row("char-gru", contract, OnnxRuntime(file, "cpu"), cases)
    if old == "Greater":  # differs only where a number is just at the end of a share
        assert row.status == "pass" or "text" in row.reason
    else:
        assert row.status == "fail"
        assert "not" in row.reason


def reference_of(bundle: Bundle) -> TaskReference:
    """The network in ``bundle`` as a reference."""
    return network_reference(network_of(bundle), bundle.task_data())


def case_of(bundle: Bundle) -> tuple[TextCase, dict[str, NDArray[Any]]]:
    """A case, and what a right graph gives for it."""
    case = next(iter(generations(reference_of(bundle))))
    runtime = OnnxRuntime(bundle.read("onnx/generate.onnx"), "cpu")
    return case, dict(zip((TEXT, LOG_PROB, NEXT_STATE), runtime.call(case.feeds), strict=True))


def test_a_character_that_was_as_likely_is_a_tie_and_another_is_a_fault(
    tiny_bundle: Callable[[str], Bundle],
) -> None:
    case, found = case_of(tiny_bundle("char-rnn"))
    record, tie = compare_text(found, case)
    assert record.passed
    assert not tie
    other = found[TEXT].copy()
    place = 4
    step = case.draws[place][0]
    second = int(np.argsort(-step.logits)[1])
    other[0, place] = case.points[second]
    record, tie = compare_text({**found, TEXT: other}, case)
    assert not record.passed
    assert record.worst.tensor == TEXT
    assert record.worst.index == (0, place)
    logits = step.logits.copy()
    logits[second] = logits[step.index] - 1e-6
    draws = [list(row) for row in case.draws]
    draws[place] = [dataclasses.replace(step, logits=logits)]
    record, tie = compare_text({**found, TEXT: other}, dataclasses.replace(case, draws=draws))
    assert record.passed
    assert tie.startswith(f"tie at character {place + 1}, candidates")


@pytest.mark.parametrize("tensor", [LOG_PROB, NEXT_STATE])
def test_nan_beside_the_right_text_is_a_fault(
    tiny_bundle: Callable[[str], Bundle], tensor: str
) -> None:
    case, found = case_of(tiny_bundle("char-gru"))
    spoiled = found[tensor].copy()
    spoiled.flat[-1] = np.nan
    record, _ = compare_text({**found, tensor: spoiled}, case)
    assert not record.passed
    assert record.worst.tensor == tensor
    assert record.worst.found is None


def test_a_forecast_needs_as_much_noise_as_steps(tiny_bundle: Callable[[str], Bundle]) -> None:
    bundle = tiny_bundle("sine-rnn")
    cases = forecasts(reference_of(bundle), [0.1])
    case = next(case for case in cases if case.name == "forecast with samples")
    feeds = {**case.feeds, "steps": np.array(7)}
    for runtime in (
        OnnxRuntime(bundle.read("onnx/forecast.onnx"), "cpu"),
        TorchScript(bundle.read("model.pt")),
    ):
        with pytest.raises(Exception, match=r"noise must have|Concat"):
            runtime.call(feeds)


def test_the_spread_is_that_of_the_residuals(tiny_bundle: Callable[[str], Bundle]) -> None:
    manifest = tiny_bundle("sine-lstm").manifest
    assert manifest.training is not None
    assert isinstance(manifest.training.scores, SeriesScores)
    assert manifest.spread is not None
    assert manifest.spread == manifest.training.scores.residual_std
    assert manifest.spread[0] > 0
    assert tiny_bundle("char-lstm").manifest.spread is None
