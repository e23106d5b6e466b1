"""The PyTorch network of a bundle, and its exact results."""

from collections.abc import Sequence

from pipeline.bundle.golden import Exact
from pipeline.checkpoint import allow_non_finite, network_from
from pipeline.contract import Bundle
from pipeline.contract.files import WEIGHTS_FILE
from pipeline.contract.law import Array
from pipeline.contract.samples import cut_sequences, outside
from pipeline.contract.tensors import Tensors
from pipeline.model import Network
from pipeline.runtimes.pytorch import Twin
from pipeline.signature import INPUT, STATE


def network_of(bundle: Bundle) -> Network:
    """The PyTorch network with the weights of the bundle, on the CPU, in evaluation mode.

    Raises:
        MalformedError: the weights are not those of the model in the manifest.
        IntegrityError: the weights file was changed.
    """
    manifest = bundle.manifest
    assert manifest.model is not None
    assert manifest.source is not None
    return network_from(
        bundle.read(WEIGHTS_FILE),
        bundle.folder / WEIGHTS_FILE,
        manifest.model,
        manifest.scaler,
        manifest.vocabulary,
        allow_non_finite(manifest.source),
    )


def exact_network(network: Network, source: Array) -> Exact:
    """The float64 results of ``network``, on inputs cut from ``source`` ``[time, …]``."""

    def draw(batch: int, time: int, start: int) -> Tensors:
        return {INPUT: cut_sequences(source, batch, time, start)}

    def initial(batch: int) -> Tensors:
        zeros = network.zero_state(batch).numpy()
        return {STATE: zeros} if network.signature.has_state else {}

    return Exact(network.signature.contract, Twin(network), draw, initial)


def strange_pieces(exact: Exact, vocabulary: str | None) -> Sequence[Tensors]:
    """Inputs that training never gave: 6 steps of two streams, cut if there is a state."""
    inputs = {name: outside(array, vocabulary) for name, array in exact.draw(2, 6, 0).items()}
    return exact.contract.cut(inputs, [3, 3] if exact.contract.states else [6])
