"""How the weights of a network are cut up for the functions in C: vectors, panels and sizes."""

import numpy as np

from pipeline.cells import ENTRIES
from pipeline.config import TextModel
from pipeline.contract.network import StoredNetwork
from pipeline.contract.small_weights import LARGEST
from pipeline.network_tensors import state_rows

_LANES = (16, 8, 4)  # numbers in a vector
_PANELS = (64, 32, 16, 8, 4)  # rows in a panel
_PIECE = 64  # columns of a panel that are read at once: 16 KB, half of a small first-level cache
_WASTE = 1.25  # by how much rows of zeros may lengthen what is computed


class Layout:
    """The sizes of a network in C, and the ``kinds`` that the templates have conditions on.

    ``lanes`` are the numbers in a vector, ``padded`` is the length of a gate with zeros behind it,
    and ``panel`` the number of rows of a matrix whose columns lie one after another. ``small`` is
    the type of the weights of a variant; those that it keeps in a larger one are float32 in C.
    """

    def __init__(self, network: StoredNetwork) -> None:
        config = network.config
        self.entry = ENTRIES[config.cell]
        self.hidden, self.layers = config.hidden_size, config.num_layers
        self.h_columns, self.projected = config.h_size, bool(config.proj_size)
        self.outputs = len(network.weights["head.bias"])
        self.is_text = isinstance(config, TextModel)
        self.rows = len(state_rows(config))
        self.x_columns = config.embedding_size if isinstance(config, TextModel) else config.features
        self.features = 1 if self.is_text else self.x_columns
        self.lanes, self.padded = _padding(self.hidden)
        rows = len(self.entry.gates) * self.padded
        fits = [size for size in _PANELS if size >= self.lanes and rows % size == 0]
        most = _WASTE * self.outputs if self.is_text else np.inf  # logits lie in panels, too
        self.panel = next((size for size in fits if up(self.outputs, size) <= most), fits[-1])
        types = {weight.kind.type for weight in network.small.values()}
        self.small = "int8" if types & LARGEST.keys() else "float16" if "float16" in types else ""
        self.kinds = {
            "TEXT": self.is_text,
            "PROJECTION": self.projected,
            "RELU": config.nonlinearity == "relu",
            "GATED": self.entry.is_gated,
            "APART": bool(self.entry.apart),
            "CELL_STATE": self.entry.has_c,
            "INT8": self.small == "int8",
            "FLOAT16": self.small == "float16",
        }

    def inputs(self, layer: int) -> int:
        """Columns of what a layer reads."""
        return self.h_columns if layer else self.x_columns

    @property
    def sizes(self) -> dict[str, int | str]:
        """What the functions are compiled with."""
        projected = {"PROJECTED": up(self.h_columns, self.panel)} if self.projected else {}
        embedding = {"EMBEDDING": self.x_columns} if self.is_text else {}
        return {
            "INPUT": "int64_t" if self.is_text else "float",
            "FEATURES": self.features,
            **embedding,
            "LAYERS": self.layers,
            "HIDDEN": self.hidden,
            "H_COLUMNS": self.h_columns,
            "OUTPUTS": self.outputs,
            "PADDED": self.padded,
            "ROWS": len(self.entry.gates) * self.padded,
            "GATES": (len(self.entry.gates) + len(self.entry.apart)) * self.padded,
            "WIDTH": max(self.padded, up(self.x_columns, self.lanes)),
            **projected,
            "PANEL": self.panel,
            "PIECE": _PIECE,
            "WIDEST": self.lanes,
        }


def _padding(hidden: int) -> tuple[int, int]:
    """Numbers in a vector, and the length of a gate with zeros behind it."""
    fits = {lanes: up(hidden, lanes) for lanes in _LANES}
    most = max(_WASTE * hidden, fits[4])
    return next((lanes, length) for lanes, length in fits.items() if length <= most)


def up(size: int, step: int) -> int:
    """The first multiple of ``step`` from ``size`` on."""
    return -(-size // step) * step
