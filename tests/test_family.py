"""Every option of the layers, from the configuration to every runtime."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import write_tiny_bundle
from family_networks import BOTH, OPTIONS, call, network
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import (
    MAIN,
    installed,
    open_session,
    refused,
    saved,
    series_config,
    text_config,
    validation_of,
)
from torch import nn

from pipeline.bundle import Bundle
from pipeline.bundle.first_lines import first_lines
from pipeline.bundle.network import graph_constants, program_tensors
from pipeline.config import WHOLE_SEQUENCES
from pipeline.errors import ParityError, UsageError
from pipeline.export import export
from pipeline.export.network.checks import check_graph
from pipeline.export.network.onnx_graph import to_onnx
from pipeline.runtimes.base import feeds
from pipeline.runtimes.catalog import RUNTIMES, Runtimes
from pipeline.runtimes.torchscript import TorchScript
from pipeline.validate.audit import audit_onnx, audit_torchscript


def values(batch: int, time: int, features: int = 1, seed: int = 0) -> np.ndarray:
    shape = (batch, time, features)
    return np.random.default_rng(seed).normal(1, 2, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cell": "gru", "nonlinearity": "relu"}, ["--nonlinearity", "cell rnn", "gru"]),
        ({"cell": "rnn", "proj_size": 2}, ["--proj-size", "cell lstm", "rnn"]),
        ({"cell": "lstm", "proj_size": 4}, ["--proj-size 4", "less than", "4"]),
        ({"cell": "rnn", "readout": "final"}, ["one direction", "final", "--bidirectional"]),
        ({"cell": "rnn", **BOTH}, ["each step", "see what it is to forecast", "final"]),
        ({"cell": "rnn", **WHOLE_SEQUENCES, "state_penalty": 0.1}, ["--state-penalty", "leave"]),
        ({"cell": "rnn", "readout": "middle"}, ["--readout", "middle"]),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: dict[str, Any], words: list[str]
) -> None:
    with refused(UsageError, *words):
        series_config(**options)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_network_is_torchs_own_layers_and_a_linear_head(options: dict[str, Any]) -> None:
    model = network(options)
    config = model.config
    own: dict[str, Any] = {"nonlinearity": config.nonlinearity} if config.cell == "rnn" else {}
    own |= {"proj_size": config.proj_size} if config.cell == "lstm" else {}
    kind: Any = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
    layers = kind(
        *(1, 4, config.num_layers),
        bias=config.bias,
        bidirectional=config.bidirectional,
        batch_first=True,
        **own,
    )
    layers.load_state_dict(model.recurrent.layers.state_dict())
    x = values(3, 6)
    output, state = call(model, x)
    with torch.no_grad():
        y, last = layers((torch.from_numpy(x) - 1) / 2)
        h = last[0] if config.cell == "lstm" else last
        read = {
            "each": y,
            "last": y[:, -1:],
            "final": torch.cat([*h[-2:]], dim=1)[:, None] if config.bidirectional else y,
        }[config.readout]
        expected = model.head(read) * 4 + 3
    np.testing.assert_allclose(output, expected.numpy(), rtol=1e-5, atol=1e-6)
    if config.bidirectional:
        assert state.shape == (3, 0, 4)
    else:
        found = state.transpose(1, 0, 2)[: config.num_layers, :, : config.h_size]
        np.testing.assert_allclose(found, h.numpy(), rtol=1e-5, atol=1e-6)


def test_a_projected_h_fills_the_first_columns_and_the_others_mean_nothing() -> None:
    model = network(OPTIONS["projected layers"])
    x = values(2, 5)
    _, state = call(model, x)
    assert state.shape == (2, 4, 4)
    assert not state[:, :2, 3:].any()
    assert state[:, :2, :3].all()
    assert state[:, 2:].all()
    other = torch.from_numpy(state.copy())
    other[:, :2, 3:] = 7
    again = call(model, x, torch.from_numpy(state)), call(model, x, other)
    for first, second in zip(*again, strict=True):
        np.testing.assert_array_equal(first, second)
    assert "first 3 columns" in model.tensors.state.meaning
    assert "zero from column 3" in model.tensors.next_state.meaning


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_graph_has_one_node_per_layer_and_only_tensors_of_the_signature(
    options: dict[str, Any],
) -> None:
    model = network(options)
    graph = to_onnx(model, "m")
    check_graph(graph, model)
    found = [node for node in graph.graph.node if node.op_type in ("RNN", "LSTM", "GRU")]
    assert len(found) == model.config.num_layers
    for node in found:
        assert bool(node.input[3]) == model.config.bias
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        both = attributes["direction"] == b"bidirectional"
        assert both == model.config.bidirectional
        relu = model.config.nonlinearity == "relu"
        if model.config.cell == "rnn":
            name = b"Relu" if relu else b"Tanh"
            assert attributes.get("activations", [b"Tanh"]) == [name] * (2 if both else 1)
    state = [] if model.config.bidirectional else ["state"]
    assert [item.name for item in graph.graph.input] == ["input", *state]
    code = TorchScript(export(model, "m")[1]).module.inlined_graph
    assert 'value="cpu"' not in str(code)  # the file goes to any device
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert ("state" in metadata) == bool(state)
    if state:
        assert json.loads(metadata["state"])["h_columns"] == (model.config.proj_size or 4)


def test_a_graph_whose_layer_lost_a_direction_or_its_relu_is_refused() -> None:
    for options, attribute in ((OPTIONS["labels"], "direction"), (OPTIONS["relu"], "activations")):
        model = network(options)
        graph = to_onnx(model, "m")
        node = next(node for node in graph.graph.node if node.op_type in ("RNN", "LSTM"))
        kept = [item for item in node.attribute if item.name != attribute]
        del node.attribute[:]
        node.attribute.extend(kept)
        with pytest.raises(ParityError, match=attribute):
            check_graph(graph, model)


@st.composite
def architectures(draw: st.DrawFn) -> tuple[dict[str, Any], bool, int]:
    cell = draw(st.sampled_from(["rnn", "lstm", "gru"]))
    size = draw(st.integers(2, 5))
    both = draw(st.booleans())
    options: dict[str, Any] = {
        "cell": cell,
        "hidden_size": size,
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "bidirectional": both,
        "readout": draw(st.sampled_from(["each", "last", "final"])) if both else "each",
    }
    if cell == "rnn":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if cell == "lstm":
        options["proj_size"] = draw(st.integers(0, size - 1))
    return options, draw(st.booleans()), draw(st.integers(1, 3))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(drawn=architectures(), batch=st.integers(1, 4), time=st.integers(1, 9))
def test_any_combination_of_options_gives_pytorchs_numbers(
    drawn: tuple[dict[str, Any], bool, int], batch: int, time: int
) -> None:
    options, text, features = drawn
    model = network(options, text, features)
    onnx_file, torchscript_file = export(model, "m")
    assert audit_onnx(onnx_file, graph_constants(model)) == []
    assert audit_torchscript(torchscript_file, program_tensors(model)) == []
    rng = np.random.default_rng(batch * time)
    x = rng.integers(96, 100, (batch, time)) if text else values(batch, time, features)
    state = rng.uniform(-1, 1, model.zero_state(batch).shape).astype(np.float32)
    expected = call(model, x, torch.from_numpy(state))
    session = open_session(onnx_file)
    given_names = [item.name for item in session.get_inputs()]
    assert given_names == list(feeds(x, state))
    found = session.run(None, feeds(x, state))
    scripted = TorchScript(torchscript_file).run(x, state)
    for y, other, y32 in zip([*found, state][:2], scripted, expected, strict=True):
        if y32.size:
            np.testing.assert_allclose(y, y32, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(other, y32, rtol=1e-4, atol=1e-5)


def bundle_of(folder: Path, config: Any) -> Bundle:
    saved(folder / "checkpoint", config)
    return write_tiny_bundle(folder / "checkpoint", folder / config.name)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Bundles of own trainings, made once."""
    made: dict[str, Bundle] = {}
    configs = {
        "both": series_config("lstm", num_layers=2, dropout=0.2, **WHOLE_SEQUENCES),
        "both, text": text_config("gru", **WHOLE_SEQUENCES),
        "relu": series_config("rnn", nonlinearity="relu", bias=False),
        "projected": series_config("lstm", proj_size=2),
    }

    def make(name: str) -> Bundle:
        if name not in made:
            made[name] = bundle_of(tmp_path_factory.mktemp("family"), configs[name])
        return made[name]

    return make


Bundles = Callable[[str], Bundle]


@pytest.mark.parametrize("name", ["both", "both, text", "relu", "projected"])
def test_own_trainings_with_every_option_validate(bundles: Bundles, name: str) -> None:
    bundle = bundles(name)
    seen = validation_of(bundle, (*MAIN, "reference")).rows
    whole = name.startswith("both")
    for row in seen:
        if name == "relu" and row.runtime == "reference":
            assert row.status == "not run"
            assert "no RNN with relu" in row.reason
            continue
        assert row.status == "pass", row.reason
        assert len(row.cases) == (22 if whole else 41)
        assert (row.state_error == 0) == whole
        assert row.free_run is not None
        assert row.free_run.steps == 40
        assert all(case.calls == 1 for case in row.cases) == whole
    assert len(seen) == 4


@pytest.mark.parametrize("runtime", ["openvino", "tract"])
@pytest.mark.parametrize("name", ["both", "both, text", "projected", "relu"])
def test_runtimes_of_others_run_every_option_or_say_that_they_cannot(
    bundles: Bundles, runtime: str, name: str
) -> None:
    installed(RUNTIMES[runtime].package)
    rows = validation_of(bundles(name), (runtime,)).rows[1:]
    assert rows
    for row in rows:
        cannot = (runtime, name) == ("tract", "relu")
        assert row.status == ("not run" if cannot else "pass"), row.reason


def test_tract_is_not_asked_for_what_it_is_known_not_to_run(tmp_path: Path) -> None:
    installed("tract")
    bundle = bundle_of(tmp_path, series_config("lstm", **WHOLE_SEQUENCES))
    with Runtimes(("tract",), ("cpu",)) as runtimes:
        (absent,) = runtimes.open(bundle)
    assert "batch of one" in getattr(absent, "reason", "")


@pytest.mark.parametrize("name", ["both", "both, text"])
def test_a_bundle_of_whole_sequences_declares_no_state(
    bundles: Bundles,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = bundles(name)
    manifest = bundle.manifest
    assert (manifest.states, manifest.window) == ((), 16)
    assert [spec.name for spec in (*manifest.inputs, *manifest.outputs)] == ["input", "output"]
    assert manifest.outputs[0].shape[:2] == ("batch", 1)
    tests = {file for file in manifest.files if "test_data_set" in file}
    files = {
        f"onnx/test_data_set_{i}/{kind}_0.pb" for i in range(3) for kind in ("input", "output")
    }
    assert tests == files
    golden = json.loads(bundle.read("golden.json"))
    session = open_session(bundle.read("onnx/model.onnx"))
    kind = np.int64 if manifest.task == "text" else np.float32
    assert len(golden["trajectories"]) == 4
    for trajectory in golden["trajectories"]:
        assert trajectory["states"] == {}
        (once,) = trajectory["calls"]
        x = np.array(once["input"]["data"], kind).reshape(once["input"]["shape"])
        (output,) = session.run(None, {"input": x})
        expected = np.array(once["output"]["data"]).reshape(once["output"]["shape"])
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    card = bundle.read("README.md").decode()
    assert manifest.model is not None
    code = first_lines(manifest.model)
    assert re.findall(r"```python\n(.*?)```", card, flags=re.S) == [code]
    assert "input → output" in card
    assert "16 steps at a time" in card
    monkeypatch.chdir(bundle.folder)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_a_projected_state_is_declared(bundles: Bundles) -> None:
    manifest = bundles("projected").manifest
    [pair] = manifest.states
    assert (manifest.inputs[1].shape, pair.h_columns) == (("batch", 2, 4), 2)
    assert "projected to 2" in bundles("projected").read("README.md").decode()
