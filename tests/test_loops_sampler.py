"""The sampler in the graph with the loop draws what its definition says."""

import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import onnxruntime
import pytest
from command_line import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from tiny import open_session

from pipeline.export.network.compose import FLOAT, INT64, call, constant, tensor
from pipeline.export.network.generate import SAMPLER
from pipeline.export.network.pieces import SAMPLE, SETTINGS
from pipeline.network_tensors import Sampling
from pipeline.validate.loops.sampler import draw


def sampler(size: int) -> onnxruntime.InferenceSession:
    """The sampler of generate.onnx as a graph of its own."""
    names = ["uniform", "temperature", "top_k", "top_p", "size"]
    nodes = [
        constant("size", np.array(size)),
        *call(SETTINGS, "settings/", names, ["number", *SAMPLER]),
        *call(SAMPLE, "sample/", ["logits", "number", *SAMPLER], ["index", "chance"]),
    ]
    inputs = [
        tensor("logits", FLOAT, 1, "batch", size),
        tensor("uniform", FLOAT, "batch", 1),
        tensor("temperature", FLOAT),
        tensor("top_k", INT64),
        tensor("top_p", FLOAT),
    ]
    outputs = [tensor("index", INT64, 1, "batch"), tensor("chance", FLOAT, "batch", 1)]
    graph = helper.make_graph(nodes, "sampler", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return open_session(model.SerializeToString())


SAMPLERS = {size: sampler(size) for size in (1, 2, 7, 60)}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    size=st.sampled_from(list(SAMPLERS)),
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([0.0, 0.3, 3.0, 30.0]),
    temperature=st.sampled_from([-1.0, 0.0, 1e-38, 0.1, 0.7, 1.0, 5.0]),
    top_k=st.integers(-2, 70),
    top_p=st.sampled_from([-1.0, 0.0, 1e-6, 0.3, 0.9, 0.999, 1.0, 3.0]),
    number=st.sampled_from([-0.5, 0.0, 1e-9, 0.25, 0.5, 0.99, 0.99999994, 1.0, np.inf, np.nan]),
)
def test_the_sampler_of_the_graph_draws_what_its_definition_says(
    size: int,
    seed: int,
    spread: float,
    temperature: float,
    top_k: int,
    top_p: float,
    number: float,
) -> None:
    logits = np.random.default_rng(seed).normal(0, spread, (1, 1, size)).astype(np.float32)
    feeds: dict[str, NDArray[Any]] = {
        "logits": logits,
        "uniform": np.array([[number]], np.float32),
        "temperature": np.array(temperature, np.float32),
        "top_k": np.array(top_k),
        "top_p": np.array(top_p, np.float32),
    }
    index, chance = SAMPLERS[size].run(None, feeds)
    wanted = draw(
        logits[0, 0], 0.0 if np.isnan(number) else number, Sampling(temperature, top_k, top_p)
    )
    found = int(index[0, 0])
    assert found == wanted.index or wanted.margin(found) < 1e-5
    if found == wanted.index:
        assert chance[0, 0] == pytest.approx(wanted.log_prob, abs=1e-4)


@pytest.mark.parametrize(
    ("given_settings", "number", "index"),
    [
        (Sampling(), 0.05, 0),  # shares are 0.1, 0.2, 0.3 and 0.4
        (Sampling(), 0.11, 1),
        (Sampling(), 0.99, 3),
        (Sampling(temperature=0), 0.05, 3),
        (Sampling(top_k=2), 0.0, 2),
        (Sampling(top_k=2), 0.42, 2),
        (Sampling(top_k=2), 0.44, 3),
        (Sampling(top_p=0.4), 0.0, 3),
        (Sampling(top_p=0.41), 0.0, 2),
        (Sampling(temperature=0.5), 0.03, 0),  # shares are 1, 4, 9 and 16 thirtieths
        (Sampling(temperature=0.5), 0.04, 1),
    ],
)
def test_an_entry_is_drawn_by_its_share_in_vocabulary_order(
    given_settings: Sampling, number: float, index: int
) -> None:
    logits = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    assert draw(logits, number, given_settings).index == index


def test_the_sampler_is_the_same_in_every_process() -> None:
    """An order of results that came out of a set would depend on the seed of their hashes.

    The numbers behind names do depend on it, and are given anew in a graph.
    """
    script = "from pipeline.export.network.pieces import SAMPLE; print(SAMPLE)"

    def made(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        return re.sub(r"_\d+", "", done.stdout)

    assert made("0") == made("4") != ""
