"""Tables of benchmarks: every row can be told from the others, at any width."""

from collections import Counter
from collections.abc import Callable

import pytest
from terminals import WIDTHS, overlong, printed

from pipeline.benchmark.clients import ClientTime
from pipeline.benchmark.engines import EngineTime
from pipeline.benchmark.export import ExportTime
from pipeline.benchmark.exporters import EXPORTERS, Attempt
from pipeline.benchmark.loops import Measured
from pipeline.benchmark.sequences import SequenceTime
from pipeline.benchmark.training import TrainingSpeed
from pipeline.report import benchmarks
from pipeline.report.grid import Grid

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
        EngineTime(cell=cell, size=size, c=size / 7, onnxruntime=size, rtneural=size / 3)
        for cell in ("lstm", "gru")
        for size in (16, 32, 64)
    )


def sequences() -> Grid:
    return benchmarks.sequences_table(
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
@pytest.mark.parametrize("table", [loops, clients, engines, sequences, training, export, exporters])
def test_rows_are_told_apart_in_every_block_and_nothing_is_cut(
    table: Callable[[], Grid], width: int
) -> None:
    grid = table()
    shown = printed(grid, width)
    assert overlong(shown, width) == []
    assert "…" not in shown
    kept = {
        cell.plain for column in grid.columns if column.kind == "number" for cell in column.cells
    }
    assert kept <= set(shown.split())
    keys = [column.cells for column in grid.columns[: grid.keys]]
    assert len({tuple(cell.plain for cell in row) for row in zip(*keys, strict=True)}) == len(
        keys[0]
    )
    words = Counter(word for column in keys for cell in column for word in cell.plain.split())
    for block in shown.split("\n\n"):
        assert words <= Counter(block.split())


def test_a_runtime_that_was_not_measured_takes_no_column() -> None:
    def shown(rtneural: float | None) -> str:
        time = EngineTime(cell="gru", size=16, c=0.1, onnxruntime=10, rtneural=rtneural)
        return printed(benchmarks.engines_table([time]), 120)

    assert "RTNeural" not in shown(None)
    assert "RTNeural" in shown(0.125)
