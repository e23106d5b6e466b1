"""The PyTorch network of a bundle, and the network as a reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.checkpoint import allow_non_finite, put_weights
from pipeline.contract import Bundle
from pipeline.contract.files import WEIGHTS_FILE
from pipeline.contract.law import Array, Precision
from pipeline.contract.network import stored_network
from pipeline.contract.samples import cut_sequences, outside
from pipeline.contract.tensors import Tensors
from pipeline.export.called import Called
from pipeline.export.network.layers import OnnxRecurrent
from pipeline.model import CodePointTable, Network, Standardize
from pipeline.network_tensors import INPUT, STATE
from pipeline.runtimes.pytorch import PyTorch, rounded_otherwise
from pipeline.verify import Lesser, Strange, TaskReference

_ROUNDINGS = 3  # other roundings of the weights that a precision below float32 is tried with


def network_of(bundle: Bundle) -> Network:
    """The PyTorch network with the weights of the bundle, on the CPU, in evaluation mode.

    Raises:
        MalformedError: the weights are not those of the model in the manifest.
        IntegrityError: the weights file was changed.
    """
    stored = stored_network(bundle)
    source = bundle.manifest.source
    assert source is not None
    network = Network(stored.config, scaler=stored.scaler, vocabulary=stored.vocabulary)
    tensors = {name: torch.from_numpy(array) for name, array in stored.weights.items()}
    return put_weights(network, tensors, bundle.folder / WEIGHTS_FILE, allow_non_finite(source))


@dataclass(frozen=True)
class Original:
    """The network that files were made from, as those who compare the files need it.

    ``constants`` are the tensors that an ONNX graph of it must hold, in ONNX's layout, and
    ``tensors`` those of a TorchScript file.
    """

    eager: PyTorch
    reference: TaskReference
    constants: Tensors
    tensors: Tensors


def original_in(bundle: Bundle) -> Original:
    """The network that the files of ``bundle`` were made from; raises as :func:`network_of`."""
    return original(network_of(bundle), bundle.task_data())


def original(network: Network, source: Array) -> Original:
    """``network`` as the original of its files, with inputs cut from ``source`` ``[time, …]``."""
    return Original(
        PyTorch(network.exported()),
        network_reference(network, source),
        graph_constants(network),
        program_tensors(network),
    )


def program_tensors(network: Network) -> Tensors:
    """Every tensor that the TorchScript of ``network`` must hold, by its name there."""
    module = network.exported()
    tensors = (*module.named_parameters(), *module.named_buffers())
    return {name: tensor.detach().numpy() for name, tensor in tensors}


def graph_constants(network: Network) -> Tensors:
    """Every tensor that the ONNX graph of ``network`` must hold, in ONNX's own layout."""
    tensors: dict[str, torch.Tensor] = dict(OnnxRecurrent(network.recurrent).named_buffers())
    tensors |= {"head.weight": network.head.weight, "head.bias": network.head.bias}
    for name, module in network.named_modules():
        if isinstance(module, CodePointTable | Standardize):
            tensors |= {f"{name}.{key}": buffer for key, buffer in module.named_buffers()}
        elif isinstance(module, torch.nn.Embedding):
            tensors[f"{name}.weight"] = module.weight
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def network_reference(network: Network, source: Array) -> TaskReference:
    """``network`` as a reference, with inputs cut from ``source`` ``[time, …]``."""
    module = network.exported()
    exact = network.twin(torch.float64)

    def draw(batch: int, time: int, start: int) -> Tensors:
        return {INPUT: cut_sequences(source, batch, time, start)}

    def initial(batch: int) -> Tensors:
        zeros = network.zero_state(batch).numpy()
        return {STATE: zeros} if network.tensors.has_state else {}

    def change(inputs: Tensors) -> Tensors:
        return {name: outside(array, network.vocabulary) for name, array in inputs.items()}

    def lesser(precision: Precision) -> Sequence[Lesser]:
        # The error from one rounding of the weights can be small by luck, so there are several.
        others = [rounded_otherwise(module, precision, seed) for seed in range(_ROUNDINGS)]
        models = [PyTorch(one, precision) for one in (module, *others)]
        return [Lesser(model, model.eps) for model in models]

    def next_output(state: Array) -> Array:
        of = exact if state.dtype == np.float64 else network
        with torch.inference_mode():
            return of.next_output(torch.from_numpy(state)).numpy()

    name = "values far outside" if network.vocabulary is None else "unknown characters"
    return TaskReference(
        network.tensors.contract,
        PyTorch(module),
        Called(exact.exported(), torch.float64),
        draw,
        initial,
        elsewhere=len(source) // 2,
        any_state=True,
        strange=Strange(name, change),
        lesser=lesser,
        config=network.config,
        vocabulary=network.vocabulary,
        next_output=next_output,
    )
