"""The network of a bundle with other weights: its files, and the model to score."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from torch import nn

from pipeline.bundle.network import network_of, network_reference
from pipeline.contract import Bundle
from pipeline.contract.files import ONNX_FILE
from pipeline.contract.law import Array
from pipeline.contract.small_weights import SmallWeight
from pipeline.contract.tensors import Tensors
from pipeline.export import export, export_loop
from pipeline.export.network.checks import check_numbers
from pipeline.model import Network
from pipeline.network_tensors import loop
from pipeline.runtimes.pytorch import PyTorch
from pipeline.variants.calibration import Samples, inputs_of_weights
from pipeline.variants.graph import small_graph
from pipeline.variants.places import places
from pipeline.variants.scores import Scored
from pipeline.variants.subject import Reweighted
from pipeline.verify import Model


class NetworkToStore:
    """The built-in network of a float32 ``bundle``, whose weights may be changed."""

    last = "head.weight"

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.network = bundle, network_of(bundle)
        self.weights: dict[str, Array] = {
            name: tensor.numpy() for name, tensor in sorted(self.network.state_dict().items())
        }
        self._matrices = {name: y for name, y in self.weights.items() if y.ndim > 1}
        self._source = bundle.task_data()

    @property
    def scored(self) -> Scored:
        """What the network with other weights is scored on."""
        network = self.network
        reference = network_reference(network, self._source)
        return Scored(reference, network.config.task, self._source, network.vocabulary)

    @property
    def biases(self) -> dict[str, str]:
        """The bias of each matrix that has one."""
        pairs = ((name, name.replace("weight_", "bias_")) for name in self.weights)
        found = {name: bias for name, bias in pairs if bias != name and bias in self.weights}
        return {**found, self.last: "head.bias"}

    def inputs(self, calls: Sequence[Tensors]) -> dict[str, Samples]:
        """The vectors that each matrix is multiplied with, where it is in the graph as it is."""
        file = self.bundle.read(ONNX_FILE)
        found = places(onnx.load_from_string(file), self._matrices)
        return inputs_of_weights(file, found, calls)

    def before_last(self, weights: Mapping[str, Array], calls: Sequence[Tensors]) -> Samples:
        """The vectors that the head reads."""
        network, read = self._with(weights), []
        module = PyTorch(network.exported())
        head: nn.Module = network.head
        handle = head.register_forward_pre_hook(lambda _, given: read.append(given[0]))
        for call in calls:
            module.call(call)
        handle.remove()
        return np.concatenate([y.reshape(-1, y.shape[-1]).double().numpy() for y in read])

    def model(self, weights: Mapping[str, Array]) -> Model:
        """The network with ``weights`` in eager PyTorch."""
        return PyTorch(self._with(weights).exported())

    def files(self, weights: Mapping[str, SmallWeight]) -> Reweighted:
        """The files of the network with ``weights``.

        Raises:
            ParityError: a file breaks the contract or gives other numbers than PyTorch.
        """
        manifest = self.bundle.manifest
        network = self._with({name: weight.values for name, weight in weights.items()})
        spread = manifest.spread
        full, torchscript_file = export(network, manifest.name, manifest.opset, spread)
        onnx_file = small_graph(full, weights)
        check_numbers(onnx_file, torchscript_file, network)
        looped, loop_file = loop(network.config), export_loop(full, network, spread)
        loops = {looped.file: small_graph(loop_file, weights)} if looped and loop_file else {}
        reference = network_reference(network, self._source)
        return Reweighted(weights, onnx_file, torchscript_file, loops, reference)

    def _with(self, weights: Mapping[str, Array]) -> Network:
        network = self.network.twin(torch.float32)
        changed = {**self.weights, **weights}
        network.load_state_dict({name: torch.from_numpy(y) for name, y in changed.items()})
        return network
