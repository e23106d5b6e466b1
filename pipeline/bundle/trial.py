"""Networks with random weights, exported: what the validator and engines are tried on."""

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.bundle.network import Original, original
from pipeline.cells import Cell
from pipeline.config import SeriesModel, TextModel
from pipeline.contract.law import Array
from pipeline.contract.records import Scaler
from pipeline.contract.small_weights import SmallType, SmallWeight
from pipeline.export import export
from pipeline.model import Network
from pipeline.threads import weights_of
from pipeline.variants.graph import small_graph
from pipeline.variants.rounding import rounded_to_nearest

_VOCABULARY = "\n !,.0123456789abcdefghijklmnopqrstuvwxyzàéñжш漢🦊"
_SOURCE_LENGTH = 2000


@dataclass(frozen=True)
class Trial:
    """The ONNX file of a random network, and the network that it was made from.

    ``weights`` is their number.
    """

    graph: bytes
    original: Original
    weights: int


def random_trial(
    task: str,
    cell: Cell,
    hidden_size: int,
    num_layers: int,
    seed: int,
    gain: float = 1.0,
    stored: SmallType | None = None,
) -> Trial:
    """The trial of a :func:`random_network`, with random data of its task.

    Its weights may be ``stored`` small.
    """
    network = random_network(task, cell, hidden_size, num_layers, seed, gain)
    weights = store_small(network, stored) if stored else {}
    graph, _ = export(network, f"{task}-{cell}")
    graph = small_graph(graph, weights) if weights else graph
    return Trial(graph, original(network, _source(network, seed)), weights_of(network))


def store_small(network: Network, kind: SmallType) -> dict[str, SmallWeight]:
    """The weights of ``network`` rounded to the nearest in ``kind``, which it then has."""
    held = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    weights = rounded_to_nearest(held, kind)
    network.load_state_dict({name: torch.from_numpy(y.values) for name, y in weights.items()})
    return weights


def random_network(
    task: str,
    cell: Cell,
    hidden_size: int,
    num_layers: int,
    seed: int,
    gain: float = 1.0,
    features: int = 1,
) -> Network:
    """A network with random weights, ``gain`` times as large as PyTorch makes them.

    A series has that many ``features``, and one target.
    """
    torch.manual_seed(seed)
    if task == "text":
        text = TextModel(
            cell=cell, hidden_size=hidden_size, num_layers=num_layers, embedding_size=hidden_size
        )
        network = Network(text, vocabulary=_VOCABULARY)
    else:
        series = SeriesModel(
            cell=cell, hidden_size=hidden_size, num_layers=num_layers, features=features
        )
        scaler = Scaler(
            input_mean=(3.0,) * features,
            input_std=(2.0,) * features,
            output_mean=(3.0,),
            output_std=(2.0,),
        )
        network = Network(series, scaler=scaler)
    with torch.no_grad():
        for weight in network.recurrent.parameters():
            weight.mul_(gain)
    return network.eval()


def _source(network: Network, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    if network.vocabulary is not None:
        return rng.choice([ord(c) for c in network.vocabulary], _SOURCE_LENGTH).astype(np.int64)
    wave = 3 + 2 * np.sin(np.arange(_SOURCE_LENGTH) / 7)[:, None]
    return (wave + rng.normal(0, 0.5, wave.shape)).astype(np.float32)
