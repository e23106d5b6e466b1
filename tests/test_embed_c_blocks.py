"""Sequences and batches in C: however a stream is cut into blocks, every bit is the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks_in_c import (
    BUILDS,
    STRICT,
    InC,
    assert_pytorchs,
    assert_same,
    can_run,
    network,
    run,
    sequences,
    written,
)
from tiny import tool

from pipeline.config import CELLS

BLOCKED = [  # with rows of zeros, and in panels of every size
    ("lstm", 6, {"num_layers": 2}),
    ("lstm", 20, {"proj_size": 6, "text": True}),
    ("gru", 16, {}),
    ("gru", 32, {"text": True}),
    ("rnn", 8, {"text": True}),
    ("lstm", 80, {"features": 70}),  # more columns than a piece
]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("cell", "hidden", "options"), BLOCKED)
def test_cut_anywhere_and_in_a_batch_every_bit_is_the_same(
    tmp_path: Path, build: str, cell: str, hidden: int, options: dict[str, Any]
) -> None:
    if not can_run(build):
        pytest.skip("not on this processor")
    made = network(cell, hidden, **options)
    in_c = InC(made, tmp_path, build)
    inputs, state = sequences(made, 1, 21)
    whole = in_c(inputs, state)
    for pieces in ([8, 13], [1, 1, 7, 9, 3], [1] * 21):
        outputs, between = [], state
        for piece in np.split(inputs, np.cumsum(pieces)[:-1], axis=1):
            output, between = in_c(piece, between)
            outputs.append(output)
        assert_same((np.concatenate(outputs, axis=1), between), whole)
    for streams in (3, 8, 9):  # fewer than a block has, as many, and one more
        inputs, state = sequences(made, streams, 10)
        assert_same(in_c.batch(inputs, state), in_c(inputs, state))
    assert_pytorchs(in_c.batch, made)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_the_size_of_a_block_changes_no_bit(tmp_path: Path, compiler: str, level: str) -> None:
    made = network("lstm", 20, text=True, num_layers=2)
    inputs, state = sequences(made, 5, 12)
    built = [
        InC(made, tmp_path, compiler=compiler, flags=(level, f"-DNET_BLOCK={size}"))
        for size in (1, 3, 8)
    ]
    expected = built[0](inputs, state)
    for in_c in built:
        assert_same(in_c(inputs, state), expected)
        assert_same(in_c.batch(inputs, state), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_the_header_states_the_stack_that_a_block_takes(tmp_path: Path, cell: str) -> None:
    folder = written(tmp_path, network(cell, 64, features=3))
    (folder / "size.c").write_text(
        '#include "model.h"\n#include <stdio.h>\nint main(void) { printf("%d", NET_SCRATCH); }\n'
    )
    scratch = {}
    for block in (1, 8, 20):
        define = f"-DNET_BLOCK={block}"
        run([tool("gcc"), *STRICT, define, "size.c", "-o", "size"], folder)
        scratch[block] = int(run(["./size"], folder))
        run([tool("gcc"), *STRICT, define, "-O3", "-fstack-usage", "-c", "model.c"], folder)
        used = [int(line.split("\t")[1]) for line in (folder / "model.su").read_text().splitlines()]
        assert 0.9 * scratch[block] < max(used) < scratch[block] + 1024
    assert scratch[1] < scratch[8] / 5
