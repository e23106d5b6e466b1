"""What is measured: both sides do the same work, and every figure has its basis."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from command_line import Here
from tiny import by_name, new_trainer, refused, series_config, text_config, tool

from pipeline.benchmark import (
    clients,
    engines,
    export,
    loops,
    sequence_engines,
    sequences,
    training,
)
from pipeline.bundle import Bundle
from pipeline.config import Config
from pipeline.errors import ParityError, UnavailableError
from pipeline.trust import Trust

CHAR, SINE = "char-lstm", "sine-gru"


def quiet(_: str) -> None:
    """Nobody watches."""


@pytest.mark.parametrize("preset", [CHAR, SINE])
def test_the_loop_in_python_makes_what_the_graph_makes(
    tiny_bundle: Callable[[str], Bundle], preset: str
) -> None:
    found = list(loops.sides(tiny_bundle(preset), steps=40))
    settings = 4 if preset == CHAR else 1
    assert [side.batch for side in found] == [1] * settings + [32] * settings
    for _, batch, graph, python in found:
        made = graph()
        assert made.shape[:2] == (batch, 40)
        np.testing.assert_allclose(python(), made, rtol=1e-4, atol=1e-5)


def test_loops_are_measured_at_every_setting(
    pipeline: Here, tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_STEPS", 10)
    monkeypatch.setattr(loops, "_ROUNDS", 2)
    exported = tiny_bundle(CHAR).folder.parent
    tiny_bundle(SINE)
    done = pipeline("benchmark", "loops", CHAR, SINE, "--exported", str(exported), "--json")
    rows = json.loads(done.out)
    assert len(rows) == 10
    assert {row["what"] for row in rows} == {
        "forecast",
        "greedy",
        "temperature 0.8",
        "top-p 0.95",
        "top-k 40, top-p 0.95",
    }
    for row in rows:
        assert 0 < row["graph"] < 1e5
        assert row["ratio"] == pytest.approx(row["graph"] / row["python"])


def test_clients_are_measured_beside_python(
    pipeline: Here, tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("cc")
    monkeypatch.setattr(clients, "_ROUNDS", 1)
    monkeypatch.setattr(engines, "_ROUNDS", 1)
    monkeypatch.setattr(engines, "_SIZES", (4,))
    monkeypatch.setattr(engines, "_STEPS", 20)
    exported = tiny_bundle(SINE).folder.parent
    options = ("--target", "c", "--exported", str(exported), "--json")
    done = pipeline("benchmark", "embed", SINE, *options)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    python, c = found["clients"]
    assert (python["target"], python["ratio"]) == ("python", 1)
    assert (c["target"], c["python"]) == ("c", python["microseconds"])
    assert 0 < c["microseconds"] < c["python"]
    kinds = ("float32", "float16", "int8", "int8, integers")
    assert [(row["cell"], row["weights"], row["rtneural"]) for row in found["engines"]] == [
        (cell, weights, None) for cell in ("lstm", "gru") for weights in kinds
    ]
    assert len({row["c"] for row in found["engines"]}) > 1
    assert len({row["onnxruntime"] for row in found["engines"]}) == 2  # one for each network


def test_training_is_measured_beside_a_plain_loop(pipeline: Here) -> None:
    done = pipeline("benchmark", "train", SINE, "--seconds", "0", "--json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert (row["model"], row["precision"]) == (SINE, "float32")
    assert 0 < row["plain"] < 1e8
    assert row["ratio"] == pytest.approx(row["pipeline"] / row["plain"])


@pytest.mark.parametrize("config", [text_config("lstm"), series_config("gru")], ids=by_name)
def test_the_plain_loop_learns_the_batches_of_the_trainer(config: Config) -> None:
    losses = list(islice(training.plain_loop(config, new_trainer(config)), 160))
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])


def test_exports_are_timed_beside_those_of_torch(
    pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_ROUNDS", 1)
    done = pipeline("benchmark", "export", SINE, "--json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert 0 < row["pipeline"] < 60
    assert row["ratio"] == pytest.approx(row["pipeline"] / row["torch"])


def test_what_does_not_replay_is_not_measured(
    tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "replay", lambda target, folder: "it ended with exit 1")
    with refused(ParityError, SINE, "python", "exit 1"):
        list(clients.measure_clients([tiny_bundle(SINE)], ["python"], quiet, Trust()))


def test_sequences_and_batches_are_measured_beside_onnx_runtime(
    pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("cc")
    for name, value in {"_UNITS": 8, "_INPUTS": 3, "_STEPS": 9, "_ROUNDS": 1}.items():
        monkeypatch.setattr(sequences, name, value)
    done = pipeline("benchmark", "sequences", "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    cases = [(row["cell"], row["batch"]) for row in rows if row["engine"] == "generated C"]
    assert cases == [("lstm", 1), ("lstm", 16), ("gru", 1), ("gru", 16)]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["microseconds"] / row["onnxruntime"])
        assert row["ratio"] == 1 or row["engine"] != sequences.BASIS


def test_an_engine_with_other_numbers_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    tool("cc")
    monkeypatch.setattr(sequences, "_UNITS", 8)
    monkeypatch.setattr(sequence_engines, "in_c", lambda *_: lambda inputs: inputs[..., :1])
    with refused(ParityError, "lstm of 8", "generated C"):
        next(sequences.measure_sequences(quiet))


def test_engines_need_a_compiler_and_a_source_that_it_can_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("cc")
    with refused(UnavailableError, "RTNeural", str(tmp_path), "cannot be built"):
        list(engines.measure_engines(tmp_path, quiet))
    monkeypatch.setenv("CC", "no-such-compiler")
    with refused(UnavailableError, "no-such-compiler", "install"):
        list(engines.measure_engines(None, quiet))
    with refused(UnavailableError, "no-such-compiler", "install"):
        next(sequences.measure_sequences(quiet))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("loops", "char-lstn"), ["char-lstn"]),
        (("embed", CHAR, "--target", "pyton"), ["pyton", "python"]),
    ],
)
def test_names_that_are_not_there_are_refused(
    pipeline: Here,
    tiny_bundle: Callable[[str], Bundle],
    arguments: tuple[str, ...],
    words: list[str],
) -> None:
    exported = tiny_bundle(CHAR).folder.parent
    done = pipeline("benchmark", *arguments, "--exported", str(exported))
    assert done.code == 2
    done.one_line_error(*words)
