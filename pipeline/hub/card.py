"""The metadata of a bundle's page on the Hugging Face Hub: the front matter of its card.

The fields are those of
https://github.com/huggingface/hub-docs/blob/main/modelcard.md?plain=1.
"""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.config import SineSource, TextSource
from pipeline.contract import Errors, Manifest, TextScores
from pipeline.contract.variant import Variant
from pipeline.hub.library import LIBRARY
from pipeline.validate import Validation

_TASKS = {"text": "text-generation", "series": "time-series-forecasting"}
_TAGS = ("onnx", "torchscript", "recurrent-neural-network")


def front_matter(
    manifest: Manifest, validation: Validation | None, license_id: str | None, kept: dict[str, Any]
) -> str:
    """The metadata as YAML, by way of ``huggingface_hub.ModelCardData``.

    The library and the task are filled in, and tags, the scores of the training and the parity of
    ``validation`` as the model index. What the page has already (``kept``) stays beside that, its
    license too if ``license_id`` is None.
    """
    from huggingface_hub import EvalResult, ModelCardData

    task = _TASKS.get(manifest.task or "")
    results = [
        EvalResult(task_type=task or "other", **facts)
        for facts in (*_scores(manifest), *_parity(validation))
    ]
    kept_tags = kept.get("tags")
    tags = [*_TAGS, *_own_tags(manifest), *(kept_tags if isinstance(kept_tags, list) else ())]
    data = ModelCardData(
        library_name=LIBRARY,
        pipeline_tag=task,
        tags=tags,
        license=license_id,
        model_name=manifest.name,
        eval_results=results or None,
    )
    ours = data.to_dict()
    ours.pop("model_name", None)
    merged = ModelCardData(ignore_metadata_errors=True, **(kept | ours))
    return str(merged.to_yaml())


def _own_tags(manifest: Manifest) -> Iterator[str]:
    if manifest.model is not None:
        yield manifest.model.cell
    if manifest.states:
        yield "stateful"
    if manifest.variant is not None:
        yield manifest.variant.weights


def _scores(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """The scores of the training or of the variant, each as arguments of an ``EvalResult``."""
    if manifest.variant is not None:
        yield from _scores_of_variant(manifest.variant)
        return
    training, source = manifest.training, manifest.source
    if training is None:
        return
    kind = "text" if isinstance(source, TextSource) else "series"
    named = "sine waves" if isinstance(source, SineSource) else kind
    scores = training.scores
    if isinstance(scores, TextScores):
        part, values = (
            "validation",
            {
                "bits_per_character": ("Bits per character", scores.bits_per_character),
                "loss": ("Loss in nats", scores.loss),
                "accuracy": ("Accuracy", scores.accuracy),
            },
        )
    else:
        part, values = "test", dict(_errors("one step", "", scores.one_step))
        if scores.free_run is not None:
            ahead = f"{scores.free_run_steps} steps free"
            values |= dict(_errors(ahead, "_free_run", scores.free_run))
    for metric, (name, value) in values.items():
        yield {
            "dataset_type": kind,
            "dataset_name": f"{named}, SHA-256 {training.data_sha256[:16]}",
            "dataset_split": part,
            "metric_type": metric,
            "metric_name": name,
            "metric_value": value,
        }


def _scores_of_variant(variant: Variant) -> Iterator[dict[str, Any]]:
    for score in variant.scores:
        metric = re.sub(r"[^a-z0-9]+", "_", score.name.lower()).strip("_")
        yield {
            "dataset_type": "held_out",
            "dataset_name": "held-out data in the bundle",
            "dataset_split": "second half",
            "metric_type": metric,
            "metric_name": f"{score.name} (float32: {score.float32:.6g})",
            "metric_value": score.of(variant.rounding),
        }


def _errors(ahead: str, suffix: str, errors: Errors) -> Iterator[tuple[str, tuple[str, float]]]:
    for metric in ("mae", "rmse", "mase"):
        yield f"{metric}{suffix}", (f"{metric.upper()}, {ahead}", getattr(errors, metric))


def _parity(validation: Validation | None) -> Iterator[dict[str, Any]]:
    """How close each runtime came to PyTorch's float64, as a share of what is allowed."""
    for row in validation.rows if validation else ():
        if row.status == "pass" and row.share is not None:
            yield {
                "dataset_type": "parity",
                "dataset_name": "Parity with PyTorch, measured by pipeline validate",
                "metric_type": "share_of_tolerance",
                "metric_name": "Largest error as a share of what is allowed, "
                f"{row.label}, {row.provider}, {row.precision}",
                "metric_value": row.share,
            }
