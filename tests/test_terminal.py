"""What the commands print fits the terminal, and no name or number is cut or broken."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from terminals import WIDE, WIDTHS, in_pipe, in_terminal, overlong, printed, words

from pipeline.bundle import Bundle
from pipeline.cli import cli
from pipeline.contract.law import Tolerance
from pipeline.report.grid import Grid
from pipeline.report.validation_tables import matrix_table
from pipeline.terminal import wrapped
from pipeline.validate import Row, Validation

SINES = [
    "sine-rnn",
    "sine-lstm",
    "--hidden-size",
    "2",
    "--epochs",
    "1",
    "--length",
    "300",
    "--window",
    "8",
]
HISTORY = "value\n" + "\n".join(str(index % 7 / 7) for index in range(70)) + "\n"
COMMANDS = [
    ["presets"],
    ["train", *SINES],
    ["export", "sine-gru", "char-lstm"],
    ["inspect"],
    ["validate"],
    ["validate", "--details"],
    ["run", "sine-gru", "--history", "h.csv", "--steps", "3", "--samples", "4", "--seed", "1"],
    ["run", "sine-lstm"],
    ["sign", "no-such-model", "--key", "a-file-that-does-not-exist.pem"],
    ["benchmark", "exporters", "no-such-module"],
]


@pytest.fixture(scope="module")
def room(
    tiny_checkpoint: Callable[[str], Path],
    tiny_bundle: Callable[[str], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder in which every command has been run once, so that they have little to do."""
    folder = tmp_path_factory.mktemp("room")
    for preset in ("sine-gru", "char-lstm"):
        shutil.copytree(tiny_checkpoint(preset), folder / "checkpoints" / preset)
        shutil.copytree(tiny_bundle(preset).folder, folder / "exported" / preset)
    (folder / "h.csv").write_text(HISTORY)
    in_pipe([["train", *SINES], ["validate"]], folder, WIDE)
    return folder


@pytest.fixture(scope="module")
def whole(room: Path) -> dict[Callable[..., str], set[str]]:
    """The words of every command where there is room for all."""
    return {way: words(way(COMMANDS, room, WIDE)) for way in (in_terminal, in_pipe)}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("way", [in_terminal, in_pipe])
def test_every_command_fits_and_breaks_no_name_and_no_number(
    room: Path, whole: dict[Callable[..., str], set[str]], way: Callable[..., str], width: int
) -> None:
    shown = way(COMMANDS, room, width)
    assert "exit 1\n" not in shown
    assert overlong(shown, width) == []
    assert "…" not in shown
    assert whole[way] - words(shown) == set()


@pytest.mark.parametrize("width", [60, 80])
def test_every_help_fits_and_is_not_cut(room: Path, width: int) -> None:
    helps = [[name, "--help"] for name in cli.commands]
    shown = in_terminal([["--help"], ["benchmark"], *helps], room, width)
    assert overlong(shown, width) == []
    assert "..." not in shown.replace("]...", "]").replace("PATH...", "").replace("ARGS...", "")
    assert words(in_terminal([["--help"], *helps], room, WIDE)) - words(shown) == set()


def validation(name: str, runtimes: int) -> Validation:
    """A validation of a model of that name, in so many runtimes."""
    rows = [
        Row(
            model=name,
            format="ONNX",
            runtime=f"onnxruntime-{index} 1.31.{index}, Chromium {index}",
            provider="cpu",
            status="pass",
            share=index / 7,
        )
        for index in range(runtimes)
    ]
    return Validation(
        model=name,
        bundle_sha256="0" * 64,
        providers=("cpu",),
        runtimes=("onnxruntime",),
        tolerance=Tolerance(rtol=1e-4, atol=1e-5),
        versions={},
        machine="",
        rows=tuple(rows),
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("models", [1, 6, 40])
@pytest.mark.parametrize("length", [9, 30, 100])
def test_a_matrix_of_any_number_of_models_keeps_every_name_whole(
    width: int, models: int, length: int
) -> None:
    names = [f"model-{index}".ljust(length, "x") for index in range(models)]
    shown = printed(matrix_table([validation(name, 7) for name in names]), width)
    for name in names:
        assert name in shown.split()
    assert [line for line in overlong(shown, width) if line not in names] == []
    assert shown.count("✓") == 7 * models
    assert {f"{index / 7:.0%}" for index in range(7)} <= set(shown.split())


def test_a_matrix_of_many_models_takes_few_lines() -> None:
    shown = printed(matrix_table([validation(f"model-{i}", 3) for i in range(40)]), 80)
    assert len(shown.splitlines()) < 50
    assert shown.splitlines()[1].split()[0] != "runtime"  # the models are the rows


def test_a_table_that_fits_is_printed_in_one_piece() -> None:
    grid = Grid("Errors", "model", "first", "second")
    grid.add_row("a", "1", "2")
    assert [line.split() for line in printed(grid, 60).splitlines() if "─" not in line] == [
        ["Errors"],
        ["model", "first", "second"],
        ["a", "1", "2"],
    ]


def test_a_number_stays_beside_its_percent_sign() -> None:
    assert wrapped("load, 10 % to 90 %", 9, hanging="") == ["load,", "10 % to", "90 %"]
    grid = Grid("", "time", *(f"load, {share} %" for share in range(10, 50)))
    grid.add_row("a", *["1"] * 40)
    assert {"10 %", "49 %"} <= set(re.findall(r"\d+ +%", printed(grid, 30)))


def test_sentences_are_wrapped_and_words_are_not() -> None:
    assert wrapped("a long-hyphenated-name in it", 12) == ["a", "  long-hyphenated-name", "  in it"]
