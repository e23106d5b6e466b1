"""``pipeline run``."""

from pathlib import Path
from typing import Any

import click
import cloup
from click.core import ParameterSource

from pipeline.cli.options import CHECKPOINTS, COUNT, bundle_argument, exported_option, json_option
from pipeline.cli.run_series import SERIES_OPTIONS, run_series
from pipeline.cli.run_text import TEXT_OPTIONS, run_text
from pipeline.errors import UsageError

_OPTIONS = {"text": TEXT_OPTIONS, "series": SERIES_OPTIONS}


@click.command(cls=cloup.Command, params=[*TEXT_OPTIONS, *SERIES_OPTIONS])
@bundle_argument
@click.option(
    "--seed", type=COUNT, help="Seed of the random draws.  [default: a new one, which is printed]"
)
@exported_option
@json_option
def run(name: str, seed: int | None, exported: Path, as_json: bool, **options: Any) -> None:
    """Write text or forecast a series with an exported model.

    No torch is needed. A name such as user/repo, where no folder has it, is fetched from the
    Hugging Face Hub, and its digests are checked.

    \b
    pipeline run char-lstm --prompt "The " --temperature 0.7
    pipeline run char-lstm --prompt "The " --streams 4
    pipeline run sine-lstm --history sine.csv --samples 200
    pipeline run sine-lstm --history sine.csv --plot -
    """
    from pipeline.run.bundle import load

    _must_be_exported(name, exported)
    context = click.get_current_context()
    opened = load(name, exported)
    if opened.task is None:
        raise UsageError(
            f"{opened.name} is a module, which no task says how to feed; call "
            "pipeline.load(...).stream() from Python, or embed it"
        )
    for task, others in _OPTIONS.items():
        for option in others:
            given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
            if given and task != opened.task:
                raise UsageError(
                    f"{option.opts[0]} is for {task} models, and {opened.name} is a "
                    f"{opened.task} model; leave it out"
                )
    own = {option.name: options[option.name or ""] for option in _OPTIONS[opened.task]}
    make = run_text if opened.task == "text" else run_series
    make(opened, seed, as_json, **own)


def _must_be_exported(name: str, exported: Path) -> None:
    """Say which command exports a model that was trained here and has no bundle yet."""
    trained = Path(CHECKPOINTS) / name
    if Path(name).name == name and trained.is_dir() and not (exported / name).exists():
        raise UsageError(f"{name} is trained and not exported yet; run 'pipeline export {name}'")
