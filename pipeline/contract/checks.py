"""Checks that the parts of a model fit together, in checkpoints and in bundles."""

from typing import TYPE_CHECKING

from pipeline.config import ImportedSource, SeriesModel, SeriesSource, Source, TextModel
from pipeline.contract.records import Scaler, SeriesScores, TrainingRecord
from pipeline.contract.tensors import TensorSpec
from pipeline.contract.weights import parameters, weight_shapes
from pipeline.network_tensors import AXES, loop, network_tensors, state_pairs

if TYPE_CHECKING:
    from pipeline.contract.manifest import Manifest


def check_network(manifest: "Manifest", model: SeriesModel | TextModel) -> None:
    """Raises ValueError for a manifest that does not follow from the built-in ``model``."""
    if manifest.source is None or manifest.checkpoint_sha256 is None:
        raise ValueError("source or checkpoint_sha256 is missing")
    if model.task != manifest.task:
        raise ValueError("task and model are not of the same task")
    vocabulary = manifest.vocabulary
    check_parts(
        model, manifest.source, manifest.scaler, vocabulary, manifest.parameters, manifest.training
    )
    tensors, looped = network_tensors(model, len(vocabulary or "")), loop(model)
    _same("inputs", manifest.inputs, tensors.inputs)
    _same("outputs", manifest.outputs, tensors.outputs)
    if manifest.states != state_pairs(model):
        raise ValueError("state is not that of the model")
    if manifest.axes != AXES:
        raise ValueError("axes are not those of the model")
    if (manifest.loop and manifest.loop.name) != (looped and looped.name):
        raise ValueError("loop is not that of the model")
    if manifest.loop and looped:
        _same("loop.inputs", manifest.loop.inputs, looped.inputs)
        _same("loop.outputs", manifest.loop.outputs, looped.outputs)
    if manifest.window is not None and tensors.has_state:
        raise ValueError("window is for models of whole sequences, and this one has a state")
    if manifest.spread != (manifest.training and manifest.training.spread):
        raise ValueError("spread is not residual_std of the scores")
    shapes = weight_shapes(model, len(vocabulary or ""))
    for name, weight in (manifest.variant.stored if manifest.variant else {}).items():
        if weight.shape != shapes.get(name):
            raise ValueError(f"variant.stored: {name[:80]} is no weight of the model")


def _same(what: str, found: tuple[TensorSpec, ...], expected: tuple[TensorSpec, ...]) -> None:
    """Raise ValueError unless names, types, shapes and samples are the expected ones."""
    if [(*spec.form, spec.sample) for spec in found] != [
        (*spec.form, spec.sample) for spec in expected
    ]:
        raise ValueError(f"{what} are not those of the model")


def check_parts(
    model: SeriesModel | TextModel,
    source: Source | ImportedSource,
    scaler: Scaler | None,
    vocabulary: str | None,
    counted: int,
    training: TrainingRecord | None,
) -> None:
    """Raises ValueError for parts that do not fit together; ``counted`` is the parameter count."""
    if isinstance(model, TextModel):
        _check_text(source, scaler, vocabulary)
    else:
        _check_series(model, source, scaler, vocabulary)
    expected = parameters(weight_shapes(model, len(vocabulary or "")))
    if counted != expected:
        raise ValueError(f"parameters is {counted}, and the model has {expected}")
    if (training is None) != isinstance(source, ImportedSource):
        raise ValueError("training is null for imported weights, and for no others")
    if training is None:
        return
    if isinstance(training.scores, SeriesScores) != isinstance(model, SeriesModel):
        raise ValueError("the scores are not of the model's task")
    if isinstance(model, SeriesModel) and len(training.spread or ()) != model.targets:
        raise ValueError(f"residual_std has not one number for each of {model.targets} targets")
    if training.best_epoch > training.epochs:
        raise ValueError("best_epoch is after the last epoch")


def _check_text(
    source: Source | ImportedSource, scaler: Scaler | None, vocabulary: str | None
) -> None:
    if scaler is not None or not vocabulary or len(set(vocabulary)) < len(vocabulary):
        raise ValueError("a text model has a vocabulary of distinct characters and no scaler")
    if source.kind not in ("text", "imported"):
        raise ValueError("the source is not of the model's task")


def _check_series(
    model: SeriesModel,
    source: Source | ImportedSource,
    scaler: Scaler | None,
    vocabulary: str | None,
) -> None:
    if scaler is None or vocabulary is not None:
        raise ValueError("a series model has a scaler and no vocabulary")
    sizes = {"input": model.features, "output": model.targets}
    for name, numbers in scaler.model_dump().items():
        if len(numbers) != sizes[name.partition("_")[0]]:
            raise ValueError(f"scaler.{name} has not one number for each column of the model")
    if source.kind == "text":
        raise ValueError("the source is not of the model's task")
    if isinstance(source, SeriesSource) and len(source.columns) not in (0, model.features):
        raise ValueError("source.columns are not those that the model reads")
