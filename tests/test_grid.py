"""Grids of trainings: one line of options, many members, one sorted table."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny import refused

from pipeline.cli import cli
from pipeline.config import PRESETS, grid, select
from pipeline.errors import UsageError

SMALL = ("--epochs", "1", "--length", "200", "--window", "16", "--threads", "1")
SINES = [PRESETS[name] for name in ("sine-rnn", "sine-lstm")]


def names(*presets: str, **options: Any) -> list[str]:
    sizes = {key: options.pop(key, ()) for key in ("hidden_sizes", "num_layers")}
    return [config.name for config in grid([PRESETS[name] for name in presets], options, **sizes)]


# --- members


def test_members_are_all_sizes_of_all_cells_and_have_them_in_their_names() -> None:
    members = grid(SINES, {"epochs": 2}, (50, 100), (1, 2))
    assert [member.name for member in members] == [
        *("sine-rnn-50x1", "sine-rnn-50x2", "sine-rnn-100x1", "sine-rnn-100x2"),
        *("sine-lstm-50x1", "sine-lstm-50x2", "sine-lstm-100x1", "sine-lstm-100x2"),
    ]
    for member in members:
        model = member.model
        assert member.name == f"sine-{model.cell}-{model.hidden_size}x{model.num_layers}"
        assert member.training.epochs == 2


def test_one_size_leaves_the_names_as_they_are() -> None:
    assert names("sine-rnn", hidden_sizes=(7,), num_layers=(2,)) == ["sine-rnn"]
    assert names("sine-rnn", "sine-gru") == ["sine-rnn", "sine-gru"]


def test_size_that_is_not_varied_is_that_of_the_preset() -> None:
    assert names("sine-rnn", "sine-gru", num_layers=(1, 2)) == [
        *("sine-rnn-32x1", "sine-rnn-32x2", "sine-gru-64x1", "sine-gru-64x2")
    ]


def test_name_takes_the_place_of_the_task_in_the_names() -> None:
    assert names("sine-rnn", name="load") == ["load"]
    assert names("sine-rnn", "sine-gru", name="load") == ["load-rnn", "load-gru"]
    assert names("sine-gru", name="load", hidden_sizes=(4, 8)) == ["load-gru-4x1", "load-gru-8x1"]


def test_name_for_two_tasks_is_refused() -> None:
    with refused(UsageError, "--name fits one task"):
        grid(select((), None, "rnn"), {"name": "both"}, (4, 8))


def test_dropout_goes_with_the_layers_of_the_grid() -> None:
    assert names("sine-rnn", dropout=0.1, num_layers=(2, 3)) == ["sine-rnn-32x2", "sine-rnn-32x3"]
    with refused(UsageError, "--num-layers 2"):
        names("sine-rnn", dropout=0.1, num_layers=(1, 2))


# --- the command


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    cli.main(["train", *arguments], standalone_mode=False)
    done = capsys.readouterr()
    return done.out, done.err


def test_grid_is_trained_sorted_drawn_and_skipped_the_second_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("--task", "sine", "--cell", "rnn,gru", "--hidden-size", "2,8", *SMALL)
    out, err = run(capsys, *arguments, "--plot", "grid.svg")
    members = {"sine-rnn-2x1", "sine-rnn-8x1", "sine-gru-2x1", "sine-gru-8x1"}
    assert {path.parent.name for path in tmp_path.glob("checkpoints/*/checkpoint.json")} == members
    table, chart = out.split("RMSE 1 step: less is better")
    table = table.partition("inside the intervals")[0]
    rows = [line.split() for line in table.splitlines() if line.startswith("sine-")]
    scores = [float(row[2]) for row in rows]
    assert scores == sorted(scores)
    assert {row[0] for row in rows} == members
    bars = [line.count("━") for line in chart.splitlines() if line.startswith("sine-")]
    assert len(bars) == 4
    assert bars == sorted(bars)
    assert bars[-1] > bars[0]
    drawn = (tmp_path / "grid.svg").read_text()
    assert drawn.startswith("<?xml")

    (tmp_path / "checkpoints" / "sine-rnn-8x1" / "checkpoint.json").unlink()
    out, err = run(capsys, *arguments, "--json")
    status = {item["name"]: item["status"] for item in json.loads(out)}
    assert status == dict.fromkeys(members, "unchanged") | {"sine-rnn-8x1": "trained"}
    assert "sine-gru-2x1: unchanged" in err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--hidden-size", "50,many"), "'many' is not a valid integer"),
        (("--hidden-size", "50,"), "'' is not a valid integer"),
        (("--num-layers", "1,0"), "--num-layers 0"),
        (("--cell", "rnn,ltsm"), "did you mean 'lstm'?"),
        (("sine-rnn", "--hidden-size", "2,4", "--plot", "grid.txt"), ".png, .svg, .pdf"),
        (("--hidden-size", "2,4", "--plot", "grid.png"), "only one kind"),
    ],
)
def test_grid_that_cannot_be_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], word: str
) -> None:
    import click

    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, click.ClickException)) as caught:
        cli.main(["train", *arguments], standalone_mode=False)
    assert word in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_notes_on_a_file_are_said_once_for_the_whole_grid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_bytes(
        b"\xef\xbb\xbfthe cat sat\r\n" * 1 + b"On The Mat 7\r\n" * 40
    )
    small = ("--embedding-size", "2", "--epochs", "1", "--window", "8", "--threads", "1")
    options = ("--text", "book.txt", "--lowercase", "--alphabet", "a-z", "--name", "book")
    arguments = (
        "--cell",
        "gru",
        "--hidden-size",
        "2,3",
        "--precision",
        "float32",
        *options,
        *small,
    )
    out, err = run(capsys, *arguments)
    assert err.count("book.txt: byte-order mark removed, 41 CRLF line ends read as LF") == 1
    assert err.count("--alphabet a-z:") == 1
    assert "book-gru-2x1" in out
    checkpoint = json.loads((tmp_path / "checkpoints/book-gru-3x1/checkpoint.json").read_bytes())
    assert checkpoint["vocabulary"] == "acehmnost"
    assert checkpoint["config"]["source"]["lowercase"] is True
    _, err = run(capsys, *arguments, "--min-count", "2")  # a changed option trains anew
    assert "trained" in err
    assert "unchanged" not in err


def test_score_tables_of_a_grid_fit_a_terminal_without_unicode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.checkpoint import read_checkpoint
    from pipeline.report.score_tables import score_charts

    monkeypatch.chdir(tmp_path)
    cli.main(["train", "sine-rnn", "--hidden-size", "2,3", *SMALL], standalone_mode=False)
    found = [
        read_checkpoint(path.parent) for path in tmp_path.glob("checkpoints/*/checkpoint.json")
    ]
    with (tmp_path / "out.txt").open("w", encoding="ascii") as file:
        for chart in score_charts(found):
            Console(file=file, width=100).print(chart)
    assert "-" * 20 in (tmp_path / "out.txt").read_text()
