"""The cells of recurrent layers: all that is to be known of each is one entry.

A file of Python, named like the cell, says how PyTorch and ONNX call it and order its gates, what
its state is made of, which options it has, how it computes and how its presets are trained. A file
of C beside it is its step. A new cell is two such files and its name in ``Cell``. Nothing here
imports torch or onnx.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

from pipeline.cells.entry import Entry

if TYPE_CHECKING:
    from torch.nn import RNNBase

Cell = Literal["rnn", "lstm", "gru"]
Nonlinearity = Literal["tanh", "relu"]

CELLS: tuple[Cell, ...] = get_args(Cell)
NONLINEARITIES: tuple[Nonlinearity, ...] = get_args(Nonlinearity)

ENTRIES: dict[Cell, Entry] = {cell: import_module(f"{__name__}.{cell}").ENTRY for cell in CELLS}
BY_OPERATOR: dict[str, Entry] = {entry.operator: entry for entry in ENTRIES.values()}
# PyTorch's weights have a row for each gate and unit, which is what an unknown cell is told by.
BY_GATES: dict[int, Cell] = {len(ENTRIES[cell].gates): cell for cell in CELLS}
OPTIONS = tuple(option for entry in ENTRIES.values() for option in entry.options)


def with_option(option: str) -> str:
    """The cells that have an option of their own, as in ``rnn`` or ``rnn or gru``."""
    return " or ".join(cell for cell in CELLS if option in ENTRIES[cell].options)


def of_layer(layer: "RNNBase") -> Entry:
    """The cell of a layer of ``torch.nn``, whose ``mode`` is ``GRU``, or ``RNN_TANH`` and such."""
    return BY_OPERATOR[layer.mode.partition("_")[0]]
