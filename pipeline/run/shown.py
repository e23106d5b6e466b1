"""A bundle as it shows itself in a notebook: its tensors, and how good it is."""

from collections.abc import Iterator

from pipeline.contract import Manifest, TextScores
from pipeline.notebook import shown


def bundle_html(manifest: Manifest) -> str:
    """The model, a row for each tensor with its meaning, and its scores."""
    module, task = manifest.module, f"{manifest.task}, {manifest.model}"
    title = f"{manifest.name}: {module.class_name if module else task}"
    rows = [
        (way, spec.name, spec.typed_shape, spec.meaning)
        for way, specs in (("in", manifest.inputs), ("out", manifest.outputs))
        for spec in specs
    ]
    return shown(title, ("", "name", "tensor", "meaning"), rows, _notes(manifest))


def _notes(manifest: Manifest) -> Iterator[str]:
    yield f"{manifest.parameters:,} weights"
    for pair in manifest.states:
        yield f"{pair.output} goes in again as {pair.input}"
    if not manifest.states:
        yield "no state: every call is a whole sequence"
    scores = manifest.training.scores if manifest.training else None
    if isinstance(scores, TextScores):
        best = min(scores.ngram_bits)
        yield f"{scores.bits_per_character:.3f} bits per character; best n-gram model {best:.3f}"
    elif scores is not None:
        simple = scores.one_step_persistence.rmse
        yield f"RMSE of one step {scores.one_step.rmse:.4g}; persistence {simple:.4g}"
