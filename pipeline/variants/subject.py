"""A model whose weights can be changed: what making a variant asks of networks and of modules."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.contract.law import Array
from pipeline.contract.small_weights import SmallWeight
from pipeline.variants.scores import Scored
from pipeline.verify import Model, Reference


@dataclass(frozen=True)
class Reweighted:
    """The files of a model with small weights, and the reference that they are held against.

    ``loop_files`` has the graph with the loop inside, by its name in a bundle, where there is one.
    """

    onnx_file: bytes
    torchscript_file: bytes
    loop_files: Mapping[str, bytes]
    reference: Reference


class Subject(Protocol):
    """A float32 model that variants are made of."""

    @property
    def weights(self) -> Mapping[str, Array]:
        """The weights that may be stored small, by name; others stay as they are."""

    @property
    def scored(self) -> Scored:
        """What the model with other weights is scored on."""

    def model(self, weights: Mapping[str, Array]) -> Model:
        """The model with other ``weights``, in PyTorch."""

    def files(self, weights: Mapping[str, SmallWeight]) -> Reweighted:
        """The files of the model with ``weights``; raises ParityError for other numbers."""
