"""The model card: ``README.md`` of a bundle."""

from pathlib import Path

from pipeline.bundle.card_parts import files_section, tensor_table
from pipeline.bundle.first_lines import call_lines, first_lines
from pipeline.checkpoint import Checkpoint
from pipeline.config import (
    Config,
    ImportedConfig,
    ImportedSource,
    ModelConfig,
    SineSource,
    Source,
    TextSource,
)
from pipeline.contract import Errors, SeriesScores, TextScores, TrainingRecord
from pipeline.escaping import markdown
from pipeline.network_tensors import TIME, NetworkTensors, loop


def model_card(checkpoint: Checkpoint, tensors: NetworkTensors) -> str:
    """The card of ``checkpoint`` in Markdown."""
    config = checkpoint.config
    model = config.model
    ins, outs = (", ".join(s.name for s in part) for part in (tensors.inputs, tensors.outputs))
    call = f"({ins}) → ({outs})" if tensors.has_state else f"{ins} → {outs}"
    return f"""\
# {markdown(config.name)}

A recurrent network ({model}, {checkpoint.parameters:,} parameters) that \
{_purpose(model.task, tensors)}. {_origin(checkpoint)}.

    {call}

{tensor_table((*tensors.inputs, *tensors.outputs))}
`batch` and `time` are dynamic. {_reading(checkpoint, tensors)} \
Scaling and the character table are inside the graph.

## First lines

```python
{first_lines(model)}```
{_by_call(model)}
{_training(checkpoint.training)}{files_section(_loop(config))}"""


def _by_call(model: ModelConfig) -> str:
    """The lines that call the model itself, unless they are the first lines."""
    if loop(model) is None:
        return ""
    return f"""
The model itself, called piece by piece, with the state in the caller's hands:

```python
{call_lines(model)}```
"""


def _loop(config: Config | ImportedConfig) -> str:
    contract = loop(config.model)
    if contract is None:
        return ""
    made = "text from a prompt" if contract.name == "generate" else "a forecast from a history"
    return f"`onnx/{contract.name}.onnx` makes {made} in one call;\n"


def _purpose(task: str, tensors: NetworkTensors) -> str:
    what = (
        "gives the logits of the next character" if task == "text" else "forecasts the next value"
    )
    read = "character" if task == "text" else "value"
    if tensors.has_state:
        return f"{what}, one for every {read} it has read"
    if TIME in tensors.output.shape:
        return f"reads whole sequences, in both directions, and has an output for every {read}"
    return f"{what} after a whole sequence, which it reads in both directions"


def _reading(checkpoint: Checkpoint, tensors: NetworkTensors) -> str:
    if tensors.has_state:
        return f"Rows of the state: {', '.join(tensors.state_rows)}."
    whole = "There is no state: every call is a whole sequence, which cannot be cut."
    if not isinstance(checkpoint.config, Config):
        return whole
    window = checkpoint.config.training.window
    return f"{whole} Training read {window} steps at a time; about so many give the best results."


def _origin(checkpoint: Checkpoint) -> str:
    source = checkpoint.config.source
    if isinstance(source, ImportedSource):
        file = markdown(source.file)
        return f"Imported from {file} (SHA-256 {source.sha256[:16]}…), trained elsewhere"
    return f"Trained on {_data(source, checkpoint.versions)}"


def _data(source: Source, versions: dict[str, str]) -> str:
    if isinstance(source, SineSource):
        waves = " + ".join(f"sin({frequency:g}·x)" for frequency in source.frequency)
        noise = f" with noise of deviation {source.noise:g}" if source.noise else ""
        return f"{source.length} samples of {waves}{noise}"
    if isinstance(source, TextSource):
        if source.files:
            return "text: " + ", ".join(markdown(Path(file).name) for file in source.files)
        return f"the language reference of Python {markdown(versions['python'])}"
    names = ", ".join(map(markdown, source.columns))
    columns = f", columns {names} in this order" if names else ""
    return f"the series {markdown(Path(source.file).name)}{columns}"


def _training(training: TrainingRecord | None) -> str:
    if training is None:
        return ""
    return f"""\
## Scores

{_scores(training.scores)}
Trained for {training.epochs} epochs (best: {training.best_epoch}) with seed {training.seed} in \
{training.precision} on {training.device}; SHA-256 of the data {training.data_sha256[:16]}….

"""


def _scores(scores: SeriesScores | TextScores) -> str:
    if isinstance(scores, TextScores):
        best = min(scores.ngram_bits)
        return (
            "| validation part | bits per character |\n|---|---|\n"
            f"| this model | {scores.bits_per_character:.3f} |\n"
            f"| best n-gram model ({scores.ngram_bits.index(best)} characters of context) "
            f"| {best:.3f} |\n\n"
            f"Loss {scores.loss:.3f} nats, accuracy {scores.accuracy:.1%}.\n"
        )
    steps = scores.free_run_steps

    def row(name: str, *parts: Errors | None) -> str:
        cells = [
            f"{value:.4f}" if part else ""
            for part in parts
            for value in ((part.mae, part.rmse, part.mase) if part else (0, 0, 0))
        ]
        return f"| {name} | " + " | ".join(cells) + " |\n"

    return (
        f"| test part | MAE, one step | RMSE | MASE | MAE, {steps} steps free | RMSE | MASE |\n"
        "|---|---|---|---|---|---|---|\n"
        + row("this model", scores.one_step, scores.free_run)
        + row("persistence", scores.one_step_persistence, scores.free_run_persistence)
        + row("seasonal naive", scores.one_step_seasonal, scores.free_run_seasonal)
        + "".join(row(one.name, one.one_step, one.free_run) for one in scores.baselines)
        + _coverage(scores)
    )


def _coverage(scores: SeriesScores) -> str:
    if scores.coverage is None:
        return ""
    coverage, steps = scores.coverage, scores.free_run_steps
    runs = ""
    if coverage.free_run is not None:
        runs = f", and {coverage.free_run:.1%} of it in free runs of {steps} steps"
    return (
        f"\nOf the test part, {coverage.one_step:.1%} lies between the quantiles 10 % and 90 % of "
        f"samples one step ahead{runs}; 80 % is right.\n"
    )
