"""A model whose weights can be changed: what making a variant asks of networks and of modules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.contract.law import Array
from pipeline.contract.small_weights import SmallWeight
from pipeline.contract.tensors import Tensors
from pipeline.variants.calibration import Samples
from pipeline.variants.scores import Scored
from pipeline.verify import Model, Reference


@dataclass(frozen=True)
class Reweighted:
    """The files of a model with small weights, and the reference that they are held against.

    ``weights`` has them by every name that the model has for them: layers may share one.
    ``loop_files`` has the graph with the loop inside, by its name in a bundle, where there is one.
    """

    weights: Mapping[str, SmallWeight]
    onnx_file: bytes
    torchscript_file: bytes
    loop_files: Mapping[str, bytes]
    reference: Reference


class Subject(Protocol):
    """A float32 model that variants are made of."""

    @property
    def weights(self) -> Mapping[str, Array]:
        """The weights that may be changed, by name; others stay as they are."""

    @property
    def biases(self) -> Mapping[str, str]:
        """The weights that have a bias among the weights, and its name."""

    @property
    def last(self) -> str | None:
        """The weight of the last layer, whose outputs are known; None if that is not known."""

    @property
    def scored(self) -> Scored:
        """What the model with other weights is scored on."""

    def inputs(self, calls: Sequence[Tensors]) -> Mapping[str, Samples]:
        """The vectors that weights are multiplied with in ``calls``, by the name of the weight."""

    def before_last(self, weights: Mapping[str, Array], calls: Sequence[Tensors]) -> Samples:
        """The vectors that the last layer reads in ``calls``, where the model has ``weights``."""

    def model(self, weights: Mapping[str, Array]) -> Model:
        """The model with other ``weights``, in PyTorch."""

    def files(self, weights: Mapping[str, SmallWeight]) -> Reweighted:
        """The files of the model with ``weights``; raises ParityError for other numbers."""
