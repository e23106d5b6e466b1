"""The history of a forecast is read as training read its data, or refused with its place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import refused

from pipeline.data.tables import parse_table
from pipeline.errors import MalformedError, PipelineError, UsageError
from pipeline.run.history import DataSource, history_of


def history(text: str, source: DataSource | None = None, width: int = 1) -> Any:
    path = Path("h.csv")
    found = history_of(parse_table(text.encode(), path), path, source or DataSource(), width)
    return found.columns, found.values


def test_columns_are_found_by_the_names_that_training_read() -> None:
    source = DataSource(columns=("a", "b"))
    names, values = history("b,note,a\n1,x,2\n3,y,4\n", source, 2)
    assert names == ("a", "b")
    assert values.dtype == np.float32
    assert values.tolist() == [[2, 1], [4, 3]]


@pytest.mark.parametrize(
    ("text", "columns"),
    [("7\n8\n", ()), ("7\n8\n", ("load",)), ("load\n7\n8\n", ("y",)), ("any\n7\n8\n", ())],
)
def test_a_single_column_needs_no_name(text: str, columns: tuple[str, ...]) -> None:
    assert history(text, DataSource(columns=columns))[1].tolist() == [[7], [8]]


def test_rows_of_several_series_are_refused_by_the_ids_that_training_read() -> None:
    source = DataSource(columns=("y",), id="town=Ulm")
    assert history("town,y\nUlm,1\nUlm,2\n", source)[1].tolist() == [[1], [2]]
    with refused(MalformedError, "'town'", "2 series", "the rows of one"):
        history("town,y\nUlm,1\nBonn,2\n", source)


def test_rows_are_read_in_the_order_of_their_times() -> None:
    text = "month,y\n2020-03-01,3\n2020-01-01,1\n2020-02-01,2\n"
    assert history(text, DataSource(columns=("y",)))[1].ravel().tolist() == [1, 2, 3]


def test_times_are_averaged_as_training_did() -> None:
    text = "ds,y\n2020-01-01 00:00,1\n2020-01-01 12:00,3\n2020-01-02 00:00,5\n"
    source = DataSource(columns=("y",), resample="D")
    assert history(text, source)[1].ravel().tolist() == [2, 5]


@pytest.mark.parametrize(
    ("text", "columns", "width", "error", "words"),
    [
        ("y\n1\nx\n", (), 1, MalformedError, ["row 3", "column 'y'", "'x' is not a number"]),
        ("y\n1\nnan\n3\n", (), 1, MalformedError, ["row 3", "column 'y'", "is missing"]),
        ("y\n1\ninf\n", (), 1, MalformedError, ["row 3", "not finite"]),
        ("y\n", (), 1, MalformedError, ["no rows"]),
        ("a,b\n1,2\n", (), 1, UsageError, ["2 columns", "a, b", "reads 1"]),
        ("a\n1\n", (), 2, UsageError, ["1 columns", "reads 2"]),
        ("load,x\n1,2\n", ("lod",), 1, UsageError, ["'lod'", "did you mean 'load'"]),
        ("unique_id,y\nA,1\nB,2\n", ("y",), 1, MalformedError, ["'unique_id'", "2 series"]),
        (
            "ds,y\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n2020-01-05,4\n",
            ("y",),
            1,
            MalformedError,
            ["row 5", "2 steps after row 4", "give one row for each step"],
        ),
    ],
)
def test_a_history_that_does_not_fit_is_refused_with_its_place(
    text: str, columns: tuple[str, ...], width: int, error: type[PipelineError], words: list[str]
) -> None:
    with refused(error, *words):
        history(text, DataSource(columns=columns), width)
