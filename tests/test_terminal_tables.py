"""Tables of benchmarks, and progress of trainings: rows are told apart, and nothing is cut."""

import re
from collections import Counter
from collections.abc import Callable
from io import StringIO

import pytest
from rich.console import Console
from terminals import WIDTHS, overlong, printed

from pipeline.benchmark.clients import ClientTime
from pipeline.benchmark.engines import EngineTime
from pipeline.benchmark.export import ExportTime
from pipeline.benchmark.exporters import EXPORTERS, Attempt
from pipeline.benchmark.loops import Measured
from pipeline.benchmark.sequences import SequenceTime
from pipeline.benchmark.training import TrainingSpeed
from pipeline.benchmark.variants import VariantCost
from pipeline.report import benchmarks
from pipeline.report.grid import Grid
from pipeline.report.progress import training_bar
from pipeline.train.callback import Progress

ENGINES = ("onnxruntime 1.31.1", "generated C", "openvino 2026.4.1, default", "tract 0.23.9")


def loops() -> Grid:
    found = [(name, batch) for name in ("sine-lstm", "char-lstm-256x2") for batch in (1, 32)]
    return benchmarks.loops_table(
        Measured(model=name, what="forecast", batch=batch, graph=batch + 0.5, python=batch + 12.5)
        for name, batch in found
    )


def clients() -> Grid:
    return benchmarks.clients_table(
        ClientTime(
            model="sine-lstm", target="cpp-libtorch", runtime=name, microseconds=1.25, python=2.5
        )
        for name in ENGINES
    )


def engines() -> Grid:
    return benchmarks.engines_table(
        EngineTime(
            cell=cell, size=size, weights="int8", c=size / 7, onnxruntime=size, rtneural=size / 3
        )
        for cell in ("lstm", "gru")
        for size in (16, 32, 64)
    )


def sequences() -> Grid:
    [table, _] = benchmarks.sequences_tables(
        SequenceTime(
            cell="lstm",
            inputs=64,
            units=256,
            steps=64,
            batch=batch,
            engine=engine,
            microseconds=123456,
            onnxruntime=234567,
        )
        for batch in (1, 16)
        for engine in ENGINES
    )
    return table


def variants() -> Grid:
    return benchmarks.variant_costs_table(
        VariantCost(
            model="char-lstm-256x2",
            weights=weights,
            target=target,
            onnx=1234567,
            flash={"M4": 234567, "M0": 345678},
            ram={"M4": 12345, "M0": 23456},
            microseconds=1.25,
            instructions=instructions,
            losses={"bits per character": 0.0125},
        )
        for weights, instructions in (("float32", None), ("int8", 98765.0))
        for target in ("c", "c-integer")
    )


def training() -> Grid:
    return benchmarks.training_table(
        TrainingSpeed(model="char-lstm-256x2", precision=precision, pipeline=1234567, plain=654321)
        for precision in ("float32", "bfloat16")
    )


def export() -> Grid:
    names = ("sine-lstm", "char-lstm-256x2")
    return benchmarks.export_table(
        ExportTime(model=name, pipeline=0.4375, torch=10.625) for name in names
    )


def exporters() -> Grid:
    return benchmarks.exporters_table(
        [
            Attempt(module=module, exporter=exporter, verdict="fails at other sizes", nodes=1234)
            for module in ("lstm", "lstm-projected-bidirectional")
            for exporter in EXPORTERS
        ]
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "table", [loops, clients, engines, sequences, training, export, exporters, variants]
)
def test_rows_are_told_apart_in_every_block_and_nothing_is_cut(
    table: Callable[[], Grid], width: int
) -> None:
    grid = table()
    shown = printed(grid, width)
    assert overlong(shown, width) == []
    assert "…" not in shown
    numbers = [column for column in grid.columns if column.kind == "number"]
    assert {cell.plain for one in numbers for cell in one.cells} - {""} <= set(shown.split())
    keys = [column.cells for column in grid.columns[: grid.keys]]
    assert len({tuple(cell.plain for cell in row) for row in zip(*keys, strict=True)}) == len(
        keys[0]
    )
    words = Counter(word for column in keys for cell in column for word in cell.plain.split())
    for block in shown.split("\n\n"):
        assert words <= Counter(block.split())


def test_sequences_have_a_table_for_each_number_of_streams() -> None:
    times = [
        SequenceTime(
            cell="gru",
            inputs=4,
            units=8,
            steps=9,
            batch=batch,
            engine=engine,
            microseconds=3,
            onnxruntime=4,
        )
        for batch in (1, 16)
        for engine in ENGINES
    ]
    tables = list(benchmarks.sequences_tables(times))
    counts = ("1 stream", "16 streams")
    titles = [f"GRU 4 to 8, 9 steps, {count}: one call, one thread" for count in counts]
    assert [table.title for table in tables] == titles
    assert [table.row_count for table in tables] == [len(ENGINES)] * 2


def test_a_cost_that_was_not_measured_leaves_the_others_in_their_columns() -> None:
    *_, instructions, loss = variants().columns
    assert [cell.plain for cell in instructions.cells] == ["", "", "98,765", "98,765"]
    assert {cell.plain for cell in loss.cells} == {"+1.25%"}


def test_a_runtime_that_was_not_measured_takes_no_column() -> None:
    def shown(rtneural: float | None) -> str:
        time = EngineTime(
            cell="gru", size=16, weights="int8", c=0.1, onnxruntime=10, rtneural=rtneural
        )
        return printed(benchmarks.engines_table([time]), 120)

    assert "RTNeural" not in shown(None)
    assert "RTNeural" in shown(0.125)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["char-lstm", "passengers-of-an-airline-lstm-64x2"])
def test_the_progress_of_a_training_has_room_for_its_name_and_numbers(
    name: str, width: int
) -> None:
    console = Console(file=StringIO(), force_terminal=True, width=width)
    with training_bar(console, name) as bar:
        bar.show(Progress(epoch=3, step=12345, steps=99999, loss=0.001234, validation_loss=0.00567))
        with console.capture() as captured:
            console.print(bar.bars.get_renderable())
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", captured.get())
    assert {f"{name}:", "0.00123,", "0.00567", "12345/99999"} <= set(shown.split())
    assert overlong(shown, width) == []
