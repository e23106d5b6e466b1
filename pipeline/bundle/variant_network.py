"""The network of a bundle with other weights: its files, and the model to score."""

from collections.abc import Mapping

import torch

from pipeline.bundle.network import network_of, network_reference
from pipeline.contract import Bundle
from pipeline.contract.law import Array
from pipeline.contract.small_weights import SmallWeight
from pipeline.export import export, export_loop
from pipeline.export.network.checks import check_numbers
from pipeline.model import Network
from pipeline.network_tensors import loop
from pipeline.runtimes.pytorch import PyTorch
from pipeline.variants.graph import small_graph
from pipeline.variants.scores import Scored
from pipeline.variants.subject import Reweighted
from pipeline.verify import Model


class NetworkToStore:
    """The built-in network of a float32 ``bundle``, whose weights may be changed."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.network = bundle, network_of(bundle)
        self.weights: dict[str, Array] = {
            name: tensor.numpy() for name, tensor in sorted(self.network.state_dict().items())
        }
        self._source = bundle.task_data()

    @property
    def scored(self) -> Scored:
        """What the network with other weights is scored on."""
        network = self.network
        reference = network_reference(network, self._source)
        return Scored(reference, network.config.task, self._source, network.vocabulary)

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
        return Reweighted(
            onnx_file, torchscript_file, loops, network_reference(network, self._source)
        )

    def _with(self, weights: Mapping[str, Array]) -> Network:
        network = self.network.twin(torch.float32)
        network.load_state_dict({name: torch.from_numpy(y) for name, y in weights.items()})
        return network
