"""How inputs of a single ONNX file are drawn, as the file's own metadata say it.

A bundle has a contract for that. A file that was exported alone has its graph only, which does not
tell that an input holds lengths of sequences, or from where to where its whole numbers go.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from pipeline.config import Record
from pipeline.contract.law import Array
from pipeline.contract.stored import Sizes
from pipeline.contract.tensors import Integers
from pipeline.errors import MalformedError

KEY = "pipeline.samples"
"""The key of the metadata."""
_MARGIN = 1e-5  # of relative lengths, so that no rounding takes a step away


class Lengths(Record):
    """Samples that are lengths of sequences along the axis ``of``, a name or a size.

    ``descending`` sorts them. If they are ``relative``, each is the part of the axis that its
    sequence fills.
    """

    kind: Literal["lengths"] = "lengths"
    of: int | str
    descending: bool = False
    relative: bool = False

    def fill(
        self, shape: Sequence[int], rng: np.random.Generator, sizes: Sizes, shorter: int = 0
    ) -> Array:
        """Lengths ``[batch]``, the longest of which is ``shorter`` than its axis."""
        full = self.of if isinstance(self.of, int) else sizes[self.of]
        longest = max(1, full - shorter)
        lengths: Array = rng.integers(1, longest, shape, endpoint=True)
        lengths[:1] = longest
        if self.descending:
            lengths = np.sort(lengths)[::-1].copy()
        return lengths / full + _MARGIN if self.relative else lengths


FileSample = Annotated[Integers | Lengths, Field(discriminator="kind")]
_SAMPLES = TypeAdapter(dict[str, FileSample])


def written(samples: Mapping[str, Integers | Lengths]) -> str:
    """The samples of inputs, by name, as the value of the metadata."""
    return _SAMPLES.dump_json(dict(samples), exclude_defaults=False).decode()


def read(text: str) -> dict[str, Integers | Lengths]:
    """The samples in a value of the metadata.

    Raises:
        MalformedError: it is of another form.
    """
    try:
        return _SAMPLES.validate_json(text)
    except ValidationError as error:
        raise MalformedError(f"the metadata '{KEY}' do not say how inputs are drawn") from error
