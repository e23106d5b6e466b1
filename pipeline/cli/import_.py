"""``pipeline import``."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from pipeline.cells import NONLINEARITIES, with_option
from pipeline.cli.options import (
    PATH,
    Command,
    checkpoints_option,
    force_option,
    json_option,
    next_command,
    section,
)
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint
    from pipeline.importer import Imported


_weights, _network = section("Weights to read"), section("What the weights do not say")


def _pairs(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[float, float], ...]:
    from pipeline.contract.records import Scaler

    pairs = []
    for value in values:
        try:
            mean, deviation = map(float, value.split(","))
            column = {"input_mean": (mean,), "input_std": (deviation,)}
            Scaler(**column, output_mean=(), output_std=())  # checks that float32 can hold both
        except ValueError as error:
            raise UsageError(
                f"{option.opts[0]} {value}: give two numbers, mean and deviation, as in 12.5,3.1; "
                "the deviation is above 0, and float32 can hold both"
            ) from error
        pairs.append((mean, deviation))
    return tuple(pairs)


def _scaler(flag: str, purpose: str) -> Callable[[Command], Command]:
    return _network(flag, multiple=True, callback=_pairs, metavar="MEAN,STD", help=purpose)


@click.command("import", cls=cloup.Command)
@click.argument("file", type=PATH)
@click.option("--name", help="Name of the checkpoint.  [default: name of the file]")
@_weights(
    "--key", metavar="KEY", help="Key of the state dict to read, where the file holds several."
)
@_weights(
    "--recurrent",
    metavar="LAYER",
    help="Name of the recurrent layers to import, where there are several.",
)
@_weights(
    "--embedding", metavar="LAYER", help="Name of the embedding, where two layers could be it."
)
@_weights(
    "--ignore",
    metavar="NAME",
    multiple=True,
    help="Leave out this loss, metric, counter or copy of the network. Repeatable.",
)
@_weights(
    "--allow-non-finite",
    "non_finite",
    is_flag=True,
    help="Accept weights that are NaN or infinite.",
)
@_network(
    "--task",
    type=click.Choice(["series", "text"]),
    help="What the input columns are, where the weights do not tell: numbers or characters.",
)
@_network(
    "--nonlinearity",
    type=click.Choice(NONLINEARITIES),
    help=f"Nonlinearity of the cell {with_option('nonlinearity')}.  [default: tanh]",
)
@_network(
    "--readout",
    type=click.Choice(["last", "final", "each"]),
    help="What the head of a bidirectional network reads: the last step (out[:, -1]), the final "
    "state of each direction (h_n), or each step.",
)
@_scaler(
    "--scaler",
    "Mean and standard deviation of the input and of the output. Give it once for all columns, or "
    "once for each.  [default: 0,1]",
)
@_scaler(
    "--output-scaler", "Mean and standard deviation of the output.  [default: those of --scaler]"
)
@_network(
    "--vocabulary",
    metavar="FILE|CHARACTERS",
    help="Characters of a text model, in the order of their indices.",
)
@_network("--one-hot", is_flag=True, help="The input columns are one-hot characters.")
@checkpoints_option
@force_option
@json_option
def import_(
    file: Path,
    name: str | None,
    key: str | None,
    recurrent: str | None,
    embedding: str | None,
    ignore: tuple[str, ...],
    checkpoints: Path,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Make a checkpoint from weights that were trained elsewhere.

    FILE is a state dict saved by torch.save or safetensors, or a trainer's checkpoint with one
    inside. The network is derived from the names and shapes of the weights. No code in the file
    is run; settings beside the weights are set aside.

    \b
    pipeline import lstm.pt --scaler 21.3,4.7
    pipeline import char_rnn.pt --one-hot --vocabulary abc.txt
    """
    from pipeline.importer import ImportSettings, import_weights
    from pipeline.importer.findings import findings
    from pipeline.report.fact_tables import findings_table
    from pipeline.report.output import finish, say, show

    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._") or "imported"
    imported = import_weights(
        file,
        ImportSettings(**settings),
        key=key,
        recurrent=recurrent,
        embedding=embedding,
        ignore=ignore,
    )
    found = findings(imported)
    if not as_json:
        show([findings_table(str(file), found)])
    checkpoint, status = _write(imported, name, checkpoints / name, force)
    say(f"{name}: {status}")
    content = {
        "name": name,
        "status": status,
        "understood": [finding.model_dump(mode="json") for finding in found],
        **checkpoint.model_dump(mode="json"),
    }
    finish(as_json, content, [], next_command("pipeline export", (name,)))


def _write(imported: "Imported", name: str, folder: Path, force: bool) -> tuple["Checkpoint", str]:
    """The checkpoint in ``folder``, and whether it was ``unchanged`` or ``imported``."""
    from pydantic import ValidationError

    from pipeline import checkpoint as store
    from pipeline.errors import PipelineError
    from pipeline.importer.network import made_up_input
    from pipeline.storage import exclusive

    try:
        config = imported.config(name)
    except ValidationError as error:
        raise UsageError(f"--name {name}: {error.errors()[0]['msg']}") from error
    made, weights = store.make_checkpoint(imported.network, config, made_up_input(imported.network))
    with exclusive(folder):
        if (folder / store.CHECKPOINT_FILE).exists() and not force:
            try:
                same = store.read_checkpoint(folder) == made
                store.load_network(folder, made)
            except PipelineError:
                same = False
            if same:
                store.drop_remains(folder, made)
                return made, "unchanged"
            raise UsageError(
                f"{folder} holds another checkpoint; give --name, or replace it with --force"
            )
        store.write_checkpoint(folder, made, weights)
    return made, "imported"
