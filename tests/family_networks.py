"""Networks with every option of the layers, and calls of them."""

from typing import Any

import numpy as np
import torch

from pipeline.config import SeriesModel, TextModel
from pipeline.contract import Scaler
from pipeline.model import Network

BOTH = {"bidirectional": True}


OPTIONS: dict[str, dict[str, Any]] = {
    "plain rnn": {"cell": "rnn"},
    "relu": {"cell": "rnn", "nonlinearity": "relu"},
    "relu without bias, both": {"cell": "rnn", "nonlinearity": "relu", "bias": False, **BOTH},
    "no bias": {"cell": "lstm", "bias": False, "num_layers": 2},
    "no bias, gru": {"cell": "gru", "bias": False},
    "projected": {"cell": "lstm", "proj_size": 2},
    "projected layers": {"cell": "lstm", "proj_size": 3, "num_layers": 2, "bias": False},
    "projected, both": {"cell": "lstm", "proj_size": 2, "num_layers": 2, **BOTH},
    "labels": {"cell": "lstm", **BOTH},
    "last": {"cell": "gru", "num_layers": 2, **BOTH, "readout": "last"},
    "final": {"cell": "lstm", "num_layers": 2, **BOTH, "readout": "final"},
    "final, projected": {"cell": "lstm", "proj_size": 2, **BOTH, "readout": "final"},
}


def network(
    config: dict[str, Any], text: bool = False, features: int = 1, seed: int = 0
) -> Network:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 4} | config
    if text:
        return Network(TextModel(embedding_size=3, **sizes), vocabulary="abc").eval()
    scaler = Scaler(
        input_mean=(1.0,) * features,
        input_std=(2.0,) * features,
        output_mean=(3.0,),
        output_std=(4.0,),
    )
    return Network(SeriesModel(features=features, **sizes), scaler=scaler).eval()


def call(model: Network, x: np.ndarray, state: torch.Tensor | None = None) -> list[np.ndarray]:
    state = model.zero_state(len(x)) if state is None else state
    with torch.no_grad():
        return [part.numpy() for part in model(torch.from_numpy(x), state)]
