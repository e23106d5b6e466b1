"""The PyTorch network of a bundle, and the network as a reference."""

from collections.abc import Sequence

from pipeline.checkpoint import allow_non_finite, network_from
from pipeline.contract import Bundle
from pipeline.contract.files import WEIGHTS_FILE
from pipeline.contract.law import Array, Precision
from pipeline.contract.samples import cut_sequences, outside
from pipeline.contract.tensors import Tensors
from pipeline.model import Network
from pipeline.runtimes.pytorch import PyTorch, Twin, rounded_otherwise
from pipeline.signature import INPUT, STATE
from pipeline.verify import Lesser, Reference, Strange

_ROUNDINGS = 3  # other roundings of the weights that a precision below float32 is tried with


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


def network_reference(network: Network, source: Array) -> Reference:
    """``network`` as a reference, with inputs cut from ``source`` ``[time, …]``."""

    def draw(batch: int, time: int, start: int) -> Tensors:
        return {INPUT: cut_sequences(source, batch, time, start)}

    def initial(batch: int) -> Tensors:
        zeros = network.zero_state(batch).numpy()
        return {STATE: zeros} if network.signature.has_state else {}

    def change(inputs: Tensors) -> Tensors:
        return {name: outside(array, network.vocabulary) for name, array in inputs.items()}

    def lesser(precision: Precision) -> Sequence[Lesser]:
        # The error from one rounding of the weights can be small by luck, so there are several.
        others = [rounded_otherwise(network, precision, seed) for seed in range(_ROUNDINGS)]
        models = [PyTorch(one, precision) for one in (network, *others)]
        return [Lesser(model, model.eps) for model in models]

    name = "values far outside" if network.vocabulary is None else "unknown characters"
    return Reference(
        network.signature.contract,
        PyTorch(network),
        Twin(network),
        draw,
        initial,
        elsewhere=len(source) // 2,
        any_state=True,
        strange=Strange(name, change),
        lesser=lesser,
    )
