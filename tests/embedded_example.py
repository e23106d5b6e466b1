"""Checks of the example program of every embedded project: it writes text or forecasts."""

import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from embedded import (
    Answer,
    Programs,
    csv,
    expected_outputs,
    expected_text,
    manifest_of,
    refuses_changed_files,
    run,
    series_rows,
)


def _is_text(folder: Path) -> bool:
    manifest = manifest_of(folder)
    return manifest["task"] == "text" and bool(manifest["states"])


def _is_series(folder: Path) -> bool:
    manifest = manifest_of(folder)
    return manifest["task"] == "series" and bool(manifest["states"])


def _model(programs: Programs, folder: Path) -> list[str | Path]:
    return ["--model", folder] if programs.takes_models else []


def example_writes_text(programs: Programs, folder: Path, scratch: Path) -> None:
    """The text of ``onnx/generate.onnx``, over more than one piece of 16 characters."""
    if not _is_text(folder):
        return
    cases: list[dict[str, Any]] = [
        {},
        {"temperature": 0},
        {"length": 0},
        {"length": 1},
        {"length": 16, "seed": 5},
        {"length": 17, "seed": 6, "prompt": "the cat"},
        {"prompt": "naïve 🦊 \x01", "length": 40, "seed": 0},
        {"prompt": "the dog", "temperature": 0.7, "top_k": 3, "length": 100, "seed": 2},
        {"temperature": 1.5, "top_p": 0.8, "length": 100, "seed": 2**32 - 1},
        {"temperature": 0.9, "top_p": 1e-6, "length": 50, "seed": 2**40 + 7},
        {"temperature": 0.8, "top_k": 5000, "top_p": 0.9, "length": 50, "seed": 12345},
    ]
    for given in cases:
        options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        answer = run(programs.example, *_model(programs, folder), *options)
        assert (answer.code, answer.err) == (0, "")
        assert answer.out == expected_text(folder, **given) + "\n", given


def example_forecasts(programs: Programs, folder: Path, scratch: Path) -> None:
    """A line for every line, with the numbers of the model; blanks and CRLF do no harm."""
    if not _is_series(folder):
        return
    rows = series_rows(folder)
    expected = expected_outputs(folder, rows)
    texts = [csv(rows), csv(rows)[:-1], csv(rows).replace("\n", "\r\n").replace(",", " , ")]
    for text in texts:
        answer = run(programs.example, *_model(programs, folder), stdin=text)
        assert (answer.code, answer.err) == (0, "")
        found = [[float(value) for value in line.split(",")] for line in answer.out.splitlines()]
        given = programs.tolerance
        atol = given.atol * programs.unit(folder)
        np.testing.assert_allclose(found, expected, rtol=given.rtol, atol=atol)
        assert max(map(len, answer.out.replace("\n", ",").split(","))) >= 9  # digits enough
    assert run(programs.example, *_model(programs, folder)) == Answer(0, "", "")


def example_answers_at_once(programs: Programs, folder: Path, scratch: Path) -> None:
    """The forecast of a line is there before the next line is."""
    if not _is_series(folder):
        return
    command = [*programs.example, *_model(programs, folder)]
    with subprocess.Popen(
        [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        for line in csv(series_rows(folder, 3)).splitlines():
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            assert b"\n" in _read_some(process.stdout.fileno())
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def _read_some(descriptor: int) -> bytes:
    """What comes up to the end of a line, within half a minute."""
    read, end = b"", time.monotonic() + 30
    while b"\n" not in read and select.select([descriptor], [], [], end - time.monotonic())[0]:
        part = os.read(descriptor, 4096)
        if not part:
            break
        read += part
    return read


def example_refuses_wrong_lines(programs: Programs, folder: Path, scratch: Path) -> None:
    """What came before is answered, and the line that is wrong is named."""
    if not _is_series(folder):
        return
    good = csv(series_rows(folder, 2))
    one = good.splitlines()[0]
    for bad in (
        "x",
        "",
        f"{one},1",
        "nan" + one[one.find(",") :] if "," in one else "nan",
        f"{one},",
    ):
        answer = run(programs.example, *_model(programs, folder), stdin=f"{good}{bad}\n{one}\n")
        answer.refused(3, "line 3")
        assert answer.out.count("\n") == 2


def example_refuses_wrong_usage(programs: Programs, folder: Path, scratch: Path) -> None:
    wrong = [
        "--length=-1",
        "--length=x",
        "--length=1.5",
        "--length=",
        "--temperature=-0.1",
        "--temperature=warm",
        "--temperature=nan",
        "--top-k=-1",
        "--top-k=2.5",
        "--top-p=0",
        "--top-p=-0.5",
        "--top-p=1.01",
        "--top-p=nan",
        "--seed=a",
        "--sed=1",
        "--length",
        "--length=3x",
        "more",
    ]
    if not _is_text(folder):
        wrong = ["--modle=x", "more"]
    for option in wrong:
        answer = run(programs.example, *_model(programs, folder), option)
        assert (option, answer.code, answer.out) == (option, 2, "")
        answer.refused(2)


def example_refuses_changed_files(programs: Programs, folder: Path, scratch: Path) -> None:
    if manifest_of(folder)["states"]:
        refuses_changed_files(programs, "example", folder, scratch)


def example_refuses_whole_sequences(programs: Programs, folder: Path, scratch: Path) -> None:
    if not manifest_of(folder)["states"]:
        run(programs.example, *_model(programs, folder)).refused(2, "whole sequences")
