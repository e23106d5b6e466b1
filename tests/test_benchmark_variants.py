"""The cost of variants in generated C: bytes and instructions, which repeat, and the loss."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import Here
from networks_in_c import network
from tiny import tool

from pipeline.benchmark import footprint as footprints
from pipeline.benchmark import variants
from pipeline.benchmark.compiling import compile_c
from pipeline.benchmark.footprint import ARM, VALGRIND, footprint, instructions
from pipeline.bundle import Bundle
from pipeline.bundle.trial import store_small
from pipeline.cells.fixed_point import OUTPUT_BITS, STATE_BITS
from pipeline.embed.c.source import write_c
from pipeline.embed.c_integer.floats import CalledWithFloats
from pipeline.embed.c_integer.network import IntegerNetwork

pytestmark = pytest.mark.usefixtures("small_enough")


def test_small_weights_take_less_flash_and_a_step_as_much_memory(tmp_path: Path) -> None:
    tool(ARM)
    made = network("lstm", 32)
    whole = made.stored()
    small = dataclasses.replace(whole, small=store_small(made, "int8"))
    sizes = {}
    for name, stored in (("float32", whole), ("int8", small)):
        home = tmp_path / name
        compile_c(write_c(stored, "net", "none"), "step", home, [tool("cc")], ["c_step.c"])
        for processor in ("M4", "M0"):
            sizes[name, processor] = footprint(home, processor)
            assert footprint(home, processor) == sizes[name, processor]
    weights = sum(array.size for array in whole.weights.values() if array.ndim > 1)
    for processor in ("M4", "M0"):
        saved = sizes["float32", processor].flash - sizes["int8", processor].flash
        assert 2 * weights < saved < 3 * weights
        stream = 4 * (2 * 32 + 1 + 1)  # state, input and output
        assert stream <= sizes["int8", processor].variables <= stream + 16
        assert 4 * 4 * 32 < sizes["int8", processor].stack < 4000  # the gates, and little more
    assert sizes["int8", "M0"].flash > sizes["int8", "M4"].flash  # floating point in functions


def test_instructions_of_a_step_are_counted_and_repeat(tmp_path: Path) -> None:
    tool(VALGRIND)
    counts = {}
    for size in (8, 32):
        files = write_c(network("gru", size).stored(), "net", "none")
        program = compile_c(files, "step", tmp_path / str(size), [tool("cc")], ["c_step.c"])
        counts[size] = instructions(program)
        assert instructions(program) == pytest.approx(counts[size], abs=1)  # what prints differs
    assert 50 < counts[8] < counts[32] < 50_000


@pytest.mark.parametrize("text", [False, True])
def test_integers_are_called_with_floats_as_their_network_is(text: bool) -> None:
    made = network("gru", 6, text=text)
    integers = IntegerNetwork("net", made.stored(), 4.0)
    model = CalledWithFloats(integers)
    zeros = np.zeros((2, 1, 6), np.float32)
    if text:
        assert made.vocabulary is not None
        given = np.array([[ord(made.vocabulary[0]), ord(made.vocabulary[1])]] * 2)
        entered = given
    else:
        given = np.array([[[0.25, 2], [-1.5, 1]]] * 2, np.float32)
        scaler = integers.scaler
        assert scaler is not None
        away = (given - np.asarray(scaler.input_mean, np.float32)) * integers.input_scale
        entered = np.rint(away).astype(np.int64)
    expected, state = integers.run(entered, integers.zero_state(2))
    output, next_state = model.call({"input": given, "state": zeros})
    first, carried = model.call({"input": given[:, :1], "state": zeros})
    last, again = model.call({"input": given[:, 1:], "state": carried})
    assert np.array_equal(next_state, state)
    assert np.array_equal(again, state)
    assert np.array_equal(np.concatenate([first, last], axis=1), output)
    if text:
        assert np.array_equal(output * 2**OUTPUT_BITS, expected)
    assert np.abs(next_state).max() < 2**STATE_BITS  # an h


def test_a_bundle_stands_beside_its_variants(
    pipeline: Here,
    tiny_bundle: Callable[[str], Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tool("cc")
    monkeypatch.setattr(variants, "_ROUNDS", 1)
    monkeypatch.setattr(variants, "is_there", lambda program: False)
    monkeypatch.setattr(footprints, "is_there", lambda program: False)
    for name in ("sine-gru", "char-lstm"):
        shutil.copytree(tiny_bundle(name).folder, tmp_path / "exported" / name)
    assert pipeline("export", "sine-gru", "--weights", "int8").code == 0
    done = pipeline("benchmark", "variants", "--json")
    assert done.code == 0, done.err
    assert f"{ARM} is not there; Debian has it in gcc-arm-none-eabi" in done.err
    assert "char-lstm has no variants; pipeline export char-lstm --weights int8" in done.err
    rows = json.loads(done.out)
    assert [(row["model"], row["weights"], row["target"]) for row in rows] == [
        ("sine-gru", "float32", "c"),
        ("sine-gru", "float32", "c-integer"),
        ("sine-gru", "int8", "c"),
        ("sine-gru", "int8", "c-integer"),
        ("char-lstm", "float32", "c"),
        ("char-lstm", "float32", "c-integer"),
    ]
    for row in rows:
        assert row["microseconds"] > 0
        assert (row["instructions"], row["flash"], row["ram"]) == (None, {}, {})
        exact = (row["weights"], row["target"]) == ("float32", "c")
        assert (row["losses"] == {}) == exact
    assert rows[2]["onnx"] == rows[3]["onnx"]
    table = pipeline("benchmark", "variants", "sine-gru")
    assert "worst loss" in table.out
    assert "flash" not in table.out
