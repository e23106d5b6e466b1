"""``pipeline run`` of a text model: the text, its seed, its prompt, and where it goes."""

import json
import os
import signal
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from command_line import PROCESS, ROOT, Here
from run_bundles import CHAR, piped
from tiny import missing, open_session

from pipeline.errors import MalformedError
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
from pipeline.run.graph import Graph
from pipeline.run.text import generate


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


def test_prompt_and_text_stand_together_on_standard_output(runnable: Path, pipeline: Here) -> None:
    result = pipeline("run", CHAR, "--prompt", "the ", "--length", "30", "--seed", "1")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("the ")
    assert result.out.endswith("\n")
    assert len(result.out) == 4 + 30 + 1


def test_a_text_can_be_had_again_by_the_seed_that_was_said(runnable: Path, pipeline: Here) -> None:
    first = pipeline("run", CHAR, "--prompt", "the ")
    flag, seed, *rest = first.err.split()
    assert (flag, " ".join(rest)) == ("--seed", "draws the same again")
    assert pipeline("run", CHAR, "--prompt", "the ", "--seed", seed).out == first.out


def test_the_likeliest_text_needs_no_seed(runnable: Path, pipeline: Here) -> None:
    first, second = (pipeline("run", CHAR, "--prompt", "a", "--temperature", "0") for _ in "12")
    assert (first.out, first.err) == (second.out, "")


def test_several_texts_stand_in_labelled_blocks(runnable: Path, pipeline: Here) -> None:
    arguments = ["--prompt", "x", "--length", "9", "--streams", "3", "--seed", "2"]
    result = pipeline("run", CHAR, *arguments)
    content = json.loads(pipeline("run", CHAR, *arguments, "--json").out)
    texts = [item["text"] for item in content["texts"]]
    assert result.out == "".join(f"── {n} ──\nx{text}\n" for n, text in enumerate(texts, 1))


def test_a_prompt_may_be_piped_in(
    runnable: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pipeline("run", CHAR, "--prompt", "naïve ", "--seed", "1").out
    piped(monkeypatch, "naïve ".encode())
    assert pipeline("run", CHAR, "--seed", "1").out == told
    piped(monkeypatch, b"\xff")
    result = pipeline("run", CHAR)
    assert result.code == MalformedError.exit_code
    result.one_line_error("standard input", "not UTF-8 at byte 0")


def test_an_output_that_cannot_hold_the_text_is_one_line(runnable: Path) -> None:
    done = subprocess.run(
        [*PROCESS, "run", CHAR, "--prompt", "Ελλάδα", "--seed", "1"],
        cwd=runnable.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 7
    assert b"cannot be printed in latin-1; set PYTHONUTF8=1" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_prompt_starts_from_zeros(runnable: Path, pipeline: Here) -> None:
    result = pipeline("run", CHAR, "--prompt", "", "--length", "5")
    assert result.code == 0
    assert len(result.out) == 6


def test_characters_that_the_model_never_saw_are_said(runnable: Path, pipeline: Here) -> None:
    result = pipeline("run", CHAR, "--prompt", "Ж and Ж and Я", "--length", "3", "--seed", "1")
    assert result.code == 0
    assert result.err == "3 characters of the prompt are unknown to the model: 'ЖЯ'\n"
    result = pipeline("run", CHAR, "--prompt", "Ж", "--length", "3", "--seed", "1")
    assert result.err == "1 character of the prompt is unknown to the model: 'Ж'\n"


def test_a_length_of_0_writes_nothing(runnable: Path, pipeline: Here) -> None:
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


def test_an_interrupted_text_stays_as_far_as_it_came(runnable: Path) -> None:
    if os.name != "posix":
        missing("Ctrl-C is SIGINT on POSIX alone")
    arguments = ["run", CHAR, "--prompt", "the ", "--length", "100000000", "--seed", "1"]
    with subprocess.Popen(
        [*PROCESS, *arguments],
        cwd=runnable.parent,
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
    model = opened(runnable / CHAR)
    pieces = generate(*model, "the ", len(text) - 5, 1, Sampling(), np.random.default_rng(1))
    assert text == "the " + "".join(piece[0][0] for piece in pieces) + "\n"
    assert error.strip().startswith(b"error: interrupted")
