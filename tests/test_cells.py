"""A cell is one entry: nothing else spells its name, and what the entry says is so."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.cells import BY_GATES, CELLS, ENTRIES, NONLINEARITIES, Cell

PACKAGE = Path(__file__).parents[1] / "pipeline"
NAME = re.compile(rf"(?<![a-z])({'|'.join(CELLS)})(?![a-z])", re.IGNORECASE)

# By a part of the path and of the text: code that has to name a cell, and why.
EXCEPTIONS = {
    ("export/", "torch.nn.utils.rnn"): "a module of torch, where packed sequences are",
    ("benchmark/training", "char-lstm"): "the network whose training is measured",
    ("exporters_modules", ""): "modules as users write them, which is what is tried",
    ("config/", "as in torch.nn.LSTM"): "words of the published schema",
    ("reference", "has no RNN with relu"): "a limit of that runtime, in words",
    ("tract", "computes every RNN with tanh"): "a bug of that runtime, in words",
    ("tract", "a single bidirectional LSTM layer"): "a bug of that runtime, in words",
    ("tract", "LSTM"): "a bug of that runtime in one operator",
    ("rtneural", "LSTM"): "a program for the classes of RTNeural",
    ("rtneural", "GRU"): "a program for the classes of RTNeural",
    ("cpp_libtorch", "doubles the time of an LSTM"): "a comment",
}
FUNCTIONS = [
    (cell, nonlinearity)
    for cell in CELLS
    for nonlinearity in (NONLINEARITIES if ENTRIES[cell].has_nonlinearity else ("tanh",))
]


def python_words(path: Path) -> Iterator[str]:
    """Names, strings and imports of a file of Python; no comments and no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value
        for field in ("id", "attr", "arg", "name", "module"):
            if isinstance(word := getattr(node, field, None), str):
                yield word


def spelled() -> Iterator[tuple[str, str]]:
    """Where code outside the entries spells the name of a cell: file, and word or line."""
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("cells/") or "__pycache__" in name or not path.is_file():
            continue
        if path.suffix == ".md":  # prose, and commands that it explains
            continue
        if path.suffix == ".py":
            words = python_words(path)
        else:
            words = iter(path.read_text(encoding="utf-8", errors="replace").splitlines())
        yield from ((name, word) for word in words if NAME.search(word))


def test_code_spells_the_name_of_a_cell_in_its_entry_alone() -> None:
    needed = set()
    for name, word in spelled():
        reasons = [key for key in EXCEPTIONS if key[0] in name and key[1].lower() in word.lower()]
        assert reasons, f"{name} spells a cell: {word.strip()[:80]}"
        needed |= set(reasons)
    assert needed == set(EXCEPTIONS)  # none is left over


def test_a_cell_is_its_entry_and_two_files_in_c_of_its_name() -> None:
    folder = PACKAGE / "cells"
    assert {path.stem for path in folder.glob("*.py")} == {
        *("__init__", "entry", "fixed_point"),  # what is said of a cell, and how integers compute
        *CELLS,
    }
    assert {path.stem for path in folder.glob("*.c")} == {
        *CELLS,
        *(f"{cell}_integer" for cell in CELLS),
    }


def test_entries_import_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, pipeline.cells, pipeline.contract.weights; "
        "heavy = {'torch', 'onnx', 'onnxruntime'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_cell_is_told_by_its_number_of_gates() -> None:
    assert len(BY_GATES) == len(CELLS)
    for entry in ENTRIES.values():
        assert len(set(entry.gates)) == len(entry.gates)
        assert set(entry.gates) == set(entry.onnx_gates) == set(entry.c_gates) >= set(entry.apart)


@pytest.mark.parametrize(("cell", "nonlinearity"), FUNCTIONS)
def test_the_step_of_an_entry_is_that_of_pytorchs_own_cell(cell: Cell, nonlinearity: str) -> None:
    torch.manual_seed(0)
    entry = ENTRIES[cell]
    options = {"nonlinearity": nonlinearity} if entry.has_nonlinearity else {}
    theirs = getattr(nn, f"{entry.operator}Cell")(3, 5, dtype=torch.float64, **options)
    x, *state = torch.randn(1 + len(entry.parts), 2, 5, dtype=torch.float64)
    x = x[:, :3]

    def reordered(rows: torch.Tensor) -> torch.Tensor:
        blocks = rows.chunk(len(entry.gates), dim=1)
        return torch.cat([blocks[place] for place in entry.onnx_order], dim=1)

    with torch.no_grad():
        of_x = reordered(x @ theirs.weight_ih.T + theirs.bias_ih)
        of_h = reordered(state[0] @ theirs.weight_hh.T + theirs.bias_hh)
        found = entry.step(of_x, of_h, state, nonlinearity)
        expected = theirs(x, tuple(state) if len(state) > 1 else state[0])
    expected = expected if len(state) > 1 else (expected,)
    torch.testing.assert_close(tuple(found), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_the_layer_of_an_entry_takes_its_options(cell: Cell) -> None:
    entry = ENTRIES[cell]
    values = {"nonlinearity": "relu", "proj_size": 2}
    layer = entry.layer()(3, 4, **{option: values[option] for option in entry.options})  # type: ignore[arg-type]
    assert type(layer).__name__ == entry.operator
    assert layer.weight_ih_l0.shape == (4 * len(entry.gates), 3)
