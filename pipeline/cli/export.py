"""``pipeline export``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import (
    checkpoints_option,
    exported_option,
    force_option,
    json_option,
    next_command,
)
from pipeline.errors import UsageError
from pipeline.lookup import find_models

if TYPE_CHECKING:
    from pipeline.bundle import Bundle


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@click.option(
    "--opset", type=int, default=18, show_default=True, help="Opset of the ONNX files, 18 to 23."
)
@checkpoints_option
@exported_option
@force_option
@json_option
def export(
    names: tuple[str, ...],
    opset: int,
    checkpoints: Path,
    exported: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Export checkpoints to TorchScript and ONNX.

    All checkpoints are exported, or those named. Each becomes a bundle: a folder with the model,
    its manifest, and test data.

    \b
    pipeline export
    pipeline export char-lstm --opset 20
    """
    from pipeline.checkpoint import CHECKPOINT_FILE
    from pipeline.report.output import finish
    from pipeline.signature import OPSETS

    if opset not in OPSETS:
        raise UsageError(f"--opset {opset}: give one from {OPSETS.start} to {OPSETS.stop - 1}")
    folders = find_models(checkpoints, CHECKPOINT_FILE, names, made_by="train")
    results = [_export_one(folder, exported / folder.name, opset, force) for folder in folders]
    finish(
        as_json,
        [
            {"name": bundle.manifest.name, "status": s, "bundle": str(bundle.folder)}
            for bundle, s in results
        ],
        [],
        next_command("pipeline validate", names),
    )


def _export_one(source: Path, target: Path, opset: int, force: bool) -> tuple["Bundle", str]:
    from pipeline.bundle import current_bundle, open_bundle
    from pipeline.checkpoint import check_weights, read_checkpoint
    from pipeline.report.output import console, say
    from pipeline.storage import exclusive, write_folder

    checkpoint = read_checkpoint(source)
    check_weights(source, checkpoint)
    with exclusive(target):
        if not force and (current := current_bundle(target, checkpoint.digest, opset)):
            say(f"{target.name}: unchanged")
            return current, "unchanged"
        from pipeline.bundle import build_bundle
        from pipeline.checkpoint import load_network

        with console().status(f"exporting {target.name}"):
            network = load_network(source, checkpoint)
            write_folder(target, build_bundle(checkpoint, network, opset))
    bundle = open_bundle(target)
    size = sum(entry.bytes for entry in bundle.manifest.files.values())
    say(f"{target.name}: exported to {target}, {len(bundle.manifest.files)} files, {size:,} bytes")
    return bundle, "exported"
