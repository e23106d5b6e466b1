"""The network in C: every kind of network gives PyTorch's numbers, and its source is named."""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from networks_in_c import (
    BUILDS,
    PRESETS,
    InC,
    assert_pytorchs,
    can_run,
    kinds,
    network,
    sequences,
)
from tiny import refused

from pipeline.bundle import Bundle
from pipeline.config import CELLS, TextModel
from pipeline.embed.c.source import c_source, identifier, write_c
from pipeline.errors import UsageError
from pipeline.model import Network


@pytest.mark.parametrize("build", BUILDS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(kind=kinds)
def test_every_kind_of_network_gives_pytorchs_numbers(
    tmp_path_factory: pytest.TempPathFactory, build: str, kind: dict[str, Any]
) -> None:
    if not can_run(build):
        pytest.skip(f"this processor has no {BUILDS[build][1] or 'SSE'}")
    options = dict(kind)
    if options.pop("own", False):  # what only one cell has
        if kind["cell"] == "rnn":
            options["nonlinearity"] = "relu"
        if kind["cell"] == "lstm" and kind["hidden"] > 1:
            options["proj_size"] = (kind["hidden"] + 1) // 2
    made = network(**options)
    assert_pytorchs(InC(made, tmp_path_factory.getbasetemp() / "kinds", build), made)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    ("hidden", "options"),
    [(20, {"proj_size": 16}), (32, {"proj_size": 9}), (5, {"proj_size": 1, "num_layers": 2})],
)
def test_projected_h_is_followed_by_zeros(
    tmp_path: Path, compiler: str, hidden: int, options: dict[str, Any]
) -> None:
    made = network("lstm", hidden, **options)
    in_c = InC(made, tmp_path, compiler=compiler)
    assert_pytorchs(in_c, made)
    _, following = in_c(*sequences(made))
    layers = options.get("num_layers", 1)
    assert not following[:, :layers, options["proj_size"] :].any()
    assert following[:, :layers, : options["proj_size"]].all()


@pytest.mark.parametrize("cell", CELLS)
def test_wide_panels_and_more_outputs_than_units(tmp_path: Path, cell: str) -> None:
    for made in (network(cell, 64, features=1, targets=9), network(cell, 3, targets=40)):
        assert_pytorchs(InC(made, tmp_path), made)


def test_a_large_vocabulary_out_of_order(tmp_path: Path) -> None:
    points = np.random.default_rng(0).permutation(np.arange(0x4E00, 0x4E00 + 300))
    torch.manual_seed(0)
    config = TextModel.model_validate({"cell": "gru", "hidden_size": 8, "embedding_size": 7})
    made = Network(config, vocabulary="".join(map(chr, points))).eval()
    in_c = InC(made, tmp_path)
    inputs, state = points[None, :], made.zero_state(1).numpy()
    with torch.inference_mode():
        expected, _ = made(torch.from_numpy(inputs), torch.from_numpy(state))
    np.testing.assert_allclose(in_c(inputs, state)[0], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_stream_starts_from_zeros(tmp_path: Path) -> None:
    made = network("gru", 5, num_layers=2)
    state = np.ones(10, np.float32)
    InC(made, tmp_path).library.net_init(state.ctypes.data_as(ctypes.c_void_p))
    assert not state.any()


def test_the_same_bundle_gives_the_same_bytes(tiny_bundle: Callable[[str], Bundle]) -> None:
    for preset in PRESETS:
        assert c_source(tiny_bundle(preset)) == c_source(tiny_bundle(preset))


def test_weights_come_back_exactly(tmp_path: Path) -> None:
    made = network("rnn", 4, features=1, targets=1)
    source = write_c(made.stored(), "net", "0" * 64)["model.c"].decode()
    text = re.search(r" hidden_weights_0\[16\] = \{([^}]*)\}", source)
    assert text
    values = np.array(
        [float(word) for word in text[1].replace("f", "").split(",")[:-1]], np.float32
    )
    weights = made.state_dict()["recurrent.layers.weight_hh_l0"].numpy()
    np.testing.assert_array_equal(values.reshape(4, 4).T, weights)


def test_the_source_says_what_it_is(tiny_bundle: Callable[[str], Bundle]) -> None:
    bundle = tiny_bundle("sine-lstm")
    for content in c_source(bundle).values():
        text = content.decode("ascii")
        assert text.startswith("/* sine-lstm: ")
        assert str(bundle.manifest.checkpoint_sha256) in text
        assert max(map(len, text.splitlines())) <= 100
        assert not re.search(r"#if (TEXT|LSTM|GRU|RNN|RELU|PADDING|PROJECTION)", text)


def test_names_become_names_in_c() -> None:
    assert identifier("sine-lstm-100x2") == "sine_lstm_100x2"
    assert identifier("2-layers") == "model_2_layers"
    assert identifier("Sine-LSTM.v2") == "sine_lstm_v2_f4abda01"


def test_whole_sequences_are_refused() -> None:
    both = network("gru", 4, bidirectional=True, readout="last")
    with refused(UsageError, "both", "one direction"):
        write_c(both.stored(), "both", "0" * 64)
