"""A bundle that says what it is: its tensors, states and columns, as the manifest has them."""

from typing import Literal

from pipeline import contract
from pipeline.config import SeriesModel, SeriesSource
from pipeline.contract.tensors import StatePair, TensorSpec
from pipeline.run.shown import bundle_html


class DescribedBundle(contract.Bundle):
    """The facts of a bundle as attributes, and as text and HTML that show it."""

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.manifest.name

    @property
    def task(self) -> Literal["series", "text"] | None:
        """The task of a built-in network; None for a module."""
        return self.manifest.task

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Name, type, shape and meaning of every input tensor, including the state."""
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Name, type, shape and meaning of every output tensor, including the next state."""
        return self.manifest.outputs

    @property
    def states(self) -> tuple[StatePair, ...]:
        """The pairs of state tensors; empty for a model of whole sequences."""
        return self.manifest.states

    @property
    def window(self) -> int | None:
        """Steps that a model of whole sequences was trained on; None if unknown."""
        return self.manifest.window

    @property
    def vocabulary(self) -> str | None:
        """The characters that a text model knows; None for a series."""
        return self.manifest.vocabulary

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that a series model reads, in order; empty if they have no names."""
        source = self.manifest.source
        return source.columns if isinstance(source, SeriesSource) else ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns among :attr:`columns` that the model forecasts."""
        model = self.manifest.model
        return self.columns[: model.targets] if isinstance(model, SeriesModel) else ()

    def __repr__(self) -> str:
        inputs, outputs = (
            ", ".join(f"{spec.name} {spec.typed_shape}" for spec in specs)
            for specs in (self.inputs, self.outputs)
        )
        manifest = self.manifest
        what = manifest.module.class_name if manifest.module else f"{self.task}, {manifest.model}"
        return f"Bundle {self.name}: {what}; {inputs} -> {outputs}"

    def _repr_html_(self) -> str:
        return bundle_html(self.manifest)
