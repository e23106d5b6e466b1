"""``pipeline run``: text and forecasts from a bundle, without torch."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import PROCESS, ROOT, Here
from tiny import edit_sealed, missing, open_session, refused

from pipeline.bundle import Bundle
from pipeline.errors import MalformedError, UsageError
from pipeline.network_tensors import (
    LOG_PROB,
    PROMPT,
    STATE,
    TEMPERATURE,
    TEXT,
    TOP_K,
    TOP_P,
    UNIFORM,
    Sampling,
)
from pipeline.run.bundle import load
from pipeline.run.chart import terminal_chart
from pipeline.run.graph import Graph
from pipeline.run.history import History
from pipeline.run.series import Forecast, check_request
from pipeline.run.text import generate
from pipeline.storage import sha256

CHAR, SINE = "char-lstm", "sine-gru"
HISTORY = np.sin(np.arange(40) / 10).astype(np.float32)
TABLE = "value\n" + "".join(f"{value:.9g}\n" for value in HISTORY)


def change(folder: Path, **values: Any) -> None:
    edit_sealed(folder / "manifest.json", lambda content: content.update(values))


def change_file(folder: Path, name: str, entry: dict[str, Any]) -> None:
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    change(folder, files=files | {name: entry})


@pytest.fixture(scope="session")
def looped(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Callable[[str], Bundle]) -> Path:
    """A folder with a text and a series bundle that run; shared, so nobody changes it."""
    root = tmp_path_factory.mktemp("looped")
    for name in (CHAR, SINE):
        shutil.copytree(tiny_bundle(name).folder, root / name)
    return root


@pytest.fixture
def exported(looped: Path, tmp_path: Path) -> Path:
    """The folder ``exported`` where the command runs, free to be changed."""
    shutil.copytree(looped, tmp_path / "exported")
    (tmp_path / "sine.csv").write_text(TABLE)
    return tmp_path / "exported"


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def without(module: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command where ``module`` is not installed."""
    code = f"import sys; sys.modules[{module!r}] = None; from pipeline.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


# --- without torch


@pytest.mark.parametrize(
    "arguments",
    [
        [CHAR, "--prompt", "the ", "--length", "20", "--seed", "1"],
        [SINE, "--history", "sine.csv", "--steps", "5", "--samples", "4", "--plot", "-"],
        [SINE, "--history", "sine.csv", "--plot", "fan.svg"],
    ],
    ids=["text", "series", "picture"],
)
def test_torch_is_not_needed(exported: Path, arguments: list[str]) -> None:
    done = without("torch", ["run", *arguments], exported.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_without_onnxruntime_the_command_says_what_to_install(exported: Path) -> None:
    done = without("onnxruntime", ["run", CHAR, "--prompt", "a"], exported.parent)
    assert (done.returncode, done.stdout) == (7, "")
    command = f"{sys.executable} -m pip install 'onnxruntime>=1.21'"
    assert done.stderr == f"error: onnxruntime is not installed; run {command}\n"


# --- text


def opened(folder: Path) -> tuple[Graph, str]:
    bundle = load(folder)
    return bundle.loop_graph, bundle.vocabulary or ""


def joined(model: tuple[Graph, str], length: int, streams: int = 1, chunk: int = 16) -> list[str]:
    pieces = generate(
        *model, "the quick ", length, streams, Sampling(0.8, 9), np.random.default_rng(5), chunk
    )
    return ["".join(text for text, _ in stream) for stream in zip(*pieces, strict=True)]


def test_the_text_is_the_same_whatever_the_size_of_the_chunks(looped: Path) -> None:
    model = opened(looped / CHAR)
    texts = [joined(model, 50, 3, chunk) for chunk in (1, 7, 16, 1000)]
    assert texts == [texts[0]] * 4
    assert len({*texts[0]}) == 3
    assert [len(text) for text in texts[0]] == [50] * 3


def test_the_text_is_that_of_one_call_of_the_graph(looped: Path, pipeline: Here) -> None:
    arguments = ["--prompt", "the quick ", "--length", "40", "--seed", "7", "--top-k", "5"]
    result = pipeline("run", str(looped / CHAR), *arguments, "--json")
    session = open_session(looped / CHAR / "onnx/generate.onnx")
    feeds = {
        PROMPT: np.array([[ord(character) for character in "the quick "]]),
        UNIFORM: np.random.default_rng(7).random((1, 40), np.float32),
        TEMPERATURE: np.array(1, np.float32),
        TOP_K: np.array(5),
        TOP_P: np.array(1, np.float32),
        STATE: load(looped / CHAR).stream().state,
    }
    text, log_prob = session.run([TEXT, LOG_PROB], feeds)
    content = json.loads(result.out)
    assert content["texts"][0]["text"] == "".join(map(chr, text[0]))
    assert content["texts"][0]["log_prob"] == pytest.approx(log_prob.mean(), rel=1e-5)
    assert content["texts"][0]["perplexity"] == pytest.approx(np.exp(-log_prob.mean()), rel=1e-5)
    assert (content["seed"], content["top_k"], content["length"]) == (7, 5, 40)


def test_prompt_and_text_stand_together_on_standard_output(exported: Path, pipeline: Here) -> None:
    result = pipeline("run", CHAR, "--prompt", "the ", "--length", "30", "--seed", "1")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("the ")
    assert result.out.endswith("\n")
    assert len(result.out) == 4 + 30 + 1


def test_a_text_can_be_had_again_by_the_seed_that_was_said(exported: Path, pipeline: Here) -> None:
    first = pipeline("run", CHAR, "--prompt", "the ")
    flag, seed, *rest = first.err.split()
    assert (flag, " ".join(rest)) == ("--seed", "draws the same again")
    assert pipeline("run", CHAR, "--prompt", "the ", "--seed", seed).out == first.out


def test_the_likeliest_text_needs_no_seed(exported: Path, pipeline: Here) -> None:
    first, second = (pipeline("run", CHAR, "--prompt", "a", "--temperature", "0") for _ in "12")
    assert (first.out, first.err) == (second.out, "")


def test_several_texts_stand_in_labelled_blocks(exported: Path, pipeline: Here) -> None:
    arguments = ["--prompt", "x", "--length", "9", "--streams", "3", "--seed", "2"]
    result = pipeline("run", CHAR, *arguments)
    content = json.loads(pipeline("run", CHAR, *arguments, "--json").out)
    texts = [item["text"] for item in content["texts"]]
    assert result.out == "".join(f"── {n} ──\nx{text}\n" for n, text in enumerate(texts, 1))


def test_a_prompt_may_be_piped_in(
    exported: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pipeline("run", CHAR, "--prompt", "naïve ", "--seed", "1").out
    piped(monkeypatch, "naïve ".encode())
    assert pipeline("run", CHAR, "--seed", "1").out == told
    piped(monkeypatch, b"\xff")
    result = pipeline("run", CHAR)
    assert result.code == MalformedError.exit_code
    result.one_line_error("standard input", "not UTF-8 at byte 0")


def test_an_output_that_cannot_hold_the_text_is_one_line(exported: Path) -> None:
    done = subprocess.run(
        [*PROCESS, "run", CHAR, "--prompt", "Ελλάδα", "--seed", "1"],
        cwd=exported.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 7
    assert b"cannot be printed in latin-1; set PYTHONUTF8=1" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_prompt_starts_from_zeros(exported: Path, pipeline: Here) -> None:
    result = pipeline("run", CHAR, "--prompt", "", "--length", "5")
    assert result.code == 0
    assert len(result.out) == 6


def test_characters_that_the_model_never_saw_are_said(exported: Path, pipeline: Here) -> None:
    result = pipeline("run", CHAR, "--prompt", "Ж and Ж and Я", "--length", "3", "--seed", "1")
    assert result.code == 0
    assert result.err == "3 characters of the prompt are unknown to the model: 'ЖЯ'\n"
    result = pipeline("run", CHAR, "--prompt", "Ж", "--length", "3", "--seed", "1")
    assert result.err == "1 character of the prompt is unknown to the model: 'Ж'\n"


def test_a_length_of_0_writes_nothing(exported: Path, pipeline: Here) -> None:
    assert pipeline("run", CHAR, "--prompt", "ab", "--length", "0").out == "ab\n"
    content = json.loads(pipeline("run", CHAR, "--prompt", "", "--length", "0", "--json").out)
    assert content["texts"] == [{"text": "", "log_prob": None, "perplexity": None}]


def test_memory_stays_flat_however_long_the_text(looped: Path) -> None:
    model = opened(looped / CHAR)
    pieces = generate(*model, "a" * 9000, 8000, 1, Sampling(), np.random.default_rng(0))
    next(pieces)
    tracemalloc.start()
    count = sum(len(text) for piece in pieces for text, _ in piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 8000 - 16
    assert peak < 200_000


def test_an_interrupted_text_stays_as_far_as_it_came(exported: Path) -> None:
    if os.name != "posix":
        missing("Ctrl-C is SIGINT on POSIX alone")
    arguments = ["run", CHAR, "--prompt", "the ", "--length", "100000000", "--seed", "1"]
    with subprocess.Popen(
        [*PROCESS, *arguments],
        cwd=exported.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A parent that ignores Ctrl-C would hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout
        assert process.stderr
        begin = process.stdout.read(40)  # there before the end
        process.send_signal(signal.SIGINT)
        rest, error = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130
    text = (begin + rest).decode()
    model = opened(exported / CHAR)
    pieces = generate(*model, "the ", len(text) - 5, 1, Sampling(), np.random.default_rng(1))
    assert text == "the " + "".join(piece[0][0] for piece in pieces) + "\n"
    assert error.strip().startswith(b"error: interrupted")


# --- series


def test_the_forecast_is_the_core_graph_fed_with_its_own_outputs(
    exported: Path, pipeline: Here
) -> None:
    result = pipeline("run", SINE, "--history", "sine.csv", "--steps", "6", "--json")
    session = open_session(exported / SINE / "onnx/model.onnx")
    given, state = HISTORY[None, :, None], load(exported / SINE).stream().state
    values = []
    for _ in range(6):
        output, state = session.run(None, {"input": given, "state": state})
        given = output[:, -1:]
        values.append(float(given[0, 0, 0]))
    content = json.loads(result.out)
    assert np.ravel(content["forecast"]) == pytest.approx(values, abs=1e-5)
    assert (content["columns"], content["read"], content["quantiles"]) == (["value"], 40, None)


def test_samples_give_quantiles_that_come_again_with_the_seed(
    exported: Path, pipeline: Here
) -> None:
    arguments = ["run", SINE, "--history", "sine.csv", "--steps", "8", "--samples", "64", "--json"]
    first = pipeline(*arguments, "--seed", "4").out
    assert pipeline(*arguments, "--seed", "4").out == first
    assert pipeline(*arguments, "--seed", "5").out != first
    low, middle, high = np.array(json.loads(first)["quantiles"])
    assert low.shape == (8, 1)
    assert (low < middle).all()
    assert (middle < high).all()
    assert "--seed" in pipeline(*arguments).err


def test_the_table_has_a_row_for_each_step(exported: Path, pipeline: Here) -> None:
    result = pipeline(
        "run", SINE, "--history", "sine.csv", "--steps", "3", "--samples", "9", "--seed", "1"
    )
    rows = [line.split() for line in result.out.splitlines()[-3:]]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    head = next(line for line in result.out.splitlines() if "step" in line)
    assert [word in head for word in ("value", "10 %", "50 %", "90 %")] == [True] * 4


def test_a_history_may_be_piped_in(
    exported: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pipeline("run", SINE, "--history", "sine.csv").out
    for arguments in ([], ["--history", "-"]):
        piped(monkeypatch, TABLE.encode())
        assert pipeline("run", SINE, *arguments).out == told


def test_no_steps_are_no_forecast(exported: Path, pipeline: Here) -> None:
    arguments = ["run", SINE, "--history", "sine.csv", "--steps", "0"]
    for samples in ("0", "5"):
        result = pipeline(*arguments, "--samples", samples, "--plot", "-")
        assert (result.code, result.err) == (0, "")
    assert json.loads(pipeline(*arguments, "--json").out)["forecast"] == []


def test_the_same_forecast_is_the_same_picture(exported: Path, pipeline: Here) -> None:
    arguments = ["run", SINE, "--history", "sine.csv", "--samples", "20", "--seed", "1", "--plot"]
    for name in ("a.svg", "b.svg", "c.png", "d.pdf"):
        assert pipeline(*arguments, name).err == f"drawn: {name}\n"
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    assert Path("d.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("steps", [1, 20, 5000])
@pytest.mark.parametrize("width", [30, 100])
def test_a_chart_fits_its_width_and_shows_line_and_band(steps: int, width: int) -> None:
    history = np.sin(np.arange(200, dtype=np.float32))[:, None]
    values = np.zeros((steps, 1), np.float32)
    paths = np.stack([values - 1, values, values + 1])
    past = History(("y",), history, None, None)
    made = Forecast(past, values, paths, past.ahead(steps))
    lines = terminal_chart(made, 0, width).plain.split("\n")
    assert lines[0] == "y, raw units"
    assert max(map(len, lines)) <= width
    assert any("░" in line for line in lines)
    assert any(character in line for line in lines for character in "▀▄█")
    assert "0.99" in lines[1]


def test_a_chart_of_a_constant_is_a_flat_line() -> None:
    flat = np.full((5, 1), 7, np.float32)
    past = History(("y",), flat, None, None)
    made = Forecast(past, flat, np.zeros((0, 5, 1), np.float32), past.ahead(5))
    drawn = [line for line in terminal_chart(made, 0, 60).plain.split("\n") if "▄" in line]
    assert [line.count("▄") for line in drawn] == [10]


def test_several_targets_each_have_columns_and_a_chart(pipeline: Here) -> None:
    noise = np.random.default_rng(0).normal(size=(120, 2)).cumsum(axis=0)
    rows = "".join(f"{b},{a}\n" for a, b in noise)
    Path("two.csv").write_text(f"sun,rain\n{rows}")
    small = ["--cell", "rnn", "--hidden-size", "4", "--epochs", "1", "--name", "two"]
    targets = ["--target", "rain", "--target", "sun"]
    assert pipeline("train", "--series", "two.csv", *targets, *small).code == 0
    assert pipeline("export", "two", "--exported", "plain").code == 0
    shutil.copytree("plain/two", "exported/two")
    arguments = ["--history", "two.csv", "--steps", "4", "--samples", "5", "--seed", "1"]
    result = pipeline("run", "two", *arguments, "--plot", "-")
    assert result.out.index("rain, raw units") < result.out.index("sun, raw units")
    content = json.loads(pipeline("run", "two", *arguments, "--plot", "fan.svg", "--json").out)
    assert content["columns"] == ["rain", "sun"]
    assert np.shape(content["forecast"]) == (4, 2)
    assert np.shape(content["quantiles"]) == (3, 4, 2)


# --- refusals


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([CHAR, "--length", "-1"], 2, ["--length", "-1"]),
        ([CHAR, "--temperature", "-0.5"], 2, ["--temperature", "-0.5"]),
        ([CHAR, "--temperature", "nan"], 2, ["--temperature", "nan"]),
        ([CHAR, "--top-p", "0"], 2, ["--top-p"]),
        ([CHAR, "--top-p", "1.1"], 2, ["--top-p"]),
        ([CHAR, "--top-p", "nan"], 2, ["--top-p"]),
        ([CHAR, "--top-k", "-1"], 2, ["--top-k"]),
        ([CHAR, "--streams", "0"], 2, ["--streams"]),
        ([CHAR, "--streams", "9" * 20], 2, ["--streams"]),
        ([CHAR, "--seed", "-1"], 2, ["--seed"]),
        ([CHAR, "--prompt", "\udcff"], 2, ["--prompt", "not Unicode"]),
        ([CHAR, "--history", "sine.csv"], 2, ["--history", "series models", CHAR, "leave it out"]),
        ([CHAR, "--samples", "1"], 2, ["--samples is for series models"]),
        ([SINE, "--streams", "2"], 2, ["--streams is for text models", SINE]),
        ([SINE, "--prompt", ""], 2, ["--prompt is for text models"]),
        ([SINE, "--steps", "-1"], 2, ["--steps"]),
        ([SINE, "--steps", "9" * 20], 2, ["steps 999", "give fewer"]),
        ([SINE, "--samples", "-1"], 2, ["--samples"]),
        ([SINE, "--history", "sin.csv"], 3, ["missing", "sin.csv"]),
        ([SINE, "--history", "sine.csv", "--plot", "a.gif"], 2, ["--plot a.gif", ".png, .svg"]),
        ([SINE, "--history", "sine.csv", "--plot", "-", "--json"], 2, ["--plot - and --json"]),
        (["char-lst"], 2, ["'char-lst'", "did you mean 'char-lstm'"]),
        (["./some/where"], 3, ["manifest is missing", "some/where"]),
        ([], 2, ["NAME|PATH"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(
    exported: Path, pipeline: Here, arguments: list[str], code: int, words: list[str]
) -> None:
    result = pipeline("run", *arguments)
    assert result.code == code, result.err
    assert result.out == ""
    result.one_line_error(*words)


def test_no_history_is_refused(
    exported: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, b"")
    result = pipeline("run", SINE)
    assert result.code == 2
    result.one_line_error("no history", "--history FILE.csv")


def without_loop(folder: Path) -> None:
    change(folder, loop=None)


def with_flipped_manifest(folder: Path) -> None:
    flip(folder / "manifest.json")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def with_tail(folder: Path) -> None:
    with (folder / "onnx/forecast.onnx").open("ab") as file:
        file.write(b"\0")


def with_flipped_bit(folder: Path) -> None:
    flip(folder / "onnx/forecast.onnx")


def not_onnx(folder: Path) -> None:
    (folder / "onnx/forecast.onnx").write_bytes(b"no graph")
    change_file(
        folder, "onnx/forecast.onnx", {"sha256": sha256(b"no graph"), "bytes": len(b"no graph")}
    )


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (without_loop, 3, ["loop is not that of the model", "export it anew"]),
        (lambda folder: change(folder, spread=None), 3, ["spread is not residual_std"]),
        (with_flipped_manifest, 5, ["manifest.json was changed", "export it anew"]),
        (lambda folder: change(folder, format=3), 3, ["format 3", "update it"]),
        (lambda folder: change(folder, files={}), 3, ["lists no", "onnx/forecast.onnx"]),
        (lambda folder: change(folder, task="sound"), 3, ["manifest.json", "task"]),
        (lambda folder: change(folder, task="text"), 3, ["not of the same task", "export it anew"]),
        (lambda folder: (folder / "manifest.json").write_text("{"), 3, ["not JSON"]),
        (lambda folder: (folder / "manifest.json").write_text("[]"), 3, ["manifest.json"]),
        (lambda folder: (folder / "onnx/forecast.onnx").unlink(), 3, ["forecast.onnx"]),
        (with_tail, 5, ["forecast.onnx was changed after its export"]),
        (with_flipped_bit, 5, ["forecast.onnx was changed after its export"]),
        (not_onnx, 7, ["cannot load", "forecast.onnx"]),
    ],
)
def test_a_bundle_that_cannot_run_is_refused_in_one_line(
    exported: Path,
    pipeline: Here,
    spoil: Callable[[Path], object],
    code: int,
    words: list[str],
) -> None:
    spoil(exported / SINE)
    result = pipeline("run", SINE, "--history", "sine.csv", "--samples", "3", "--seed", "1")
    assert (result.code, result.out) == (code, "")
    result.one_line_error(*words)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"bidirectional": True, "readout": "final"}, ["both directions", "without --bi"]),
        ({"features": 3}, ["reads 3 columns and forecasts 1", "--target"]),
    ],
)
def test_a_model_that_cannot_be_fed_with_its_outputs_is_refused(
    exported: Path, model: dict[str, Any], words: list[str]
) -> None:
    bundle = load(exported / SINE)
    assert bundle.manifest.model is not None
    changes = {"loop": None, "model": bundle.manifest.model.model_copy(update=model)}
    manifest = bundle.manifest.model_copy(update=changes)
    with refused(UsageError, *words):
        _ = replace(bundle, manifest=manifest).loop_graph


def test_samples_need_a_known_spread(exported: Path) -> None:
    unknown = load(exported / SINE).manifest.model_copy(update={"spread": None})
    with refused(UsageError, "samples 3", "leave samples out"):
        check_request(unknown, 2, 3, 1)


def test_a_bundle_may_be_a_path(exported: Path, pipeline: Here) -> None:
    told = pipeline("run", CHAR, "--prompt", "a", "--seed", "1").out
    exported.rename(exported.parent / "elsewhere")
    elsewhere = exported.parent / "elsewhere"
    for arguments in ([f"elsewhere/{CHAR}"], [str(elsewhere / CHAR)]):
        assert pipeline("run", *arguments, "--prompt", "a", "--seed", "1").out == told
    named = pipeline("run", CHAR, "--exported", "elsewhere", "--prompt", "a", "--seed", "1")
    assert named.out == told
