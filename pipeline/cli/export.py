"""``pipeline export``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.listing import ListingCommand, formats
from pipeline.cli.options import (
    PATH,
    checkpoints_option,
    exported_option,
    force_option,
    json_option,
    names_in,
    next_command,
    section,
    several,
    share,
)
from pipeline.cli.trust import make_trust, trust_options
from pipeline.errors import PipelineError, UsageError
from pipeline.lookup import find_models, variants_of

if TYPE_CHECKING:
    from pipeline.bundle import Bundle

_module = section("A module of your own")


@click.command(cls=ListingCommand, lists=formats)
@click.argument(
    "names",
    nargs=-1,
    metavar="[NAME|PATH|FILE.py:CLASS]...",
    shell_complete=names_in("checkpoints"),
)
@click.option("--opset", type=int, default=18, help="Opset of the ONNX files, 18 to 23.")
@_module("--name", help="Name of the bundle; by default that of the class.")
@_module(
    "--weights",
    metavar="FILE|TYPE",
    help="File of the weights of a module; nothing in it is run. For bundles it is float16, int8 "
    "or int4, and a variant is written whose weights are stored so.",
)
@_module(
    "--arg",
    "arguments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Argument of the class. Repeatable.",
)
@_module(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=TYPE[AXES]",
    help="Input, such as x=float32[batch,time,4] or tokens=int64[batch,time]<50. Repeatable. "
    "Without it, the inputs follow from the layers.",
)
@_module("--example", type=PATH, help="File .npz with an example of each input.")
@_module(
    "--state",
    "states",
    multiple=True,
    metavar="ARG:RESULT",
    help="Argument that is a state, and the result that goes into it at the next call; or none, "
    "for whole sequences. Repeatable.  [default: found in the module]",
)
@click.option(
    "--max-loss",
    callback=share,
    metavar="SHARE",
    help="Largest loss of a score that a variant may have, such as 1%. Weights stay in float32 "
    "until it is within that.",
)
@trust_options
@several(
    "--format",
    str,
    "Add files for other runtimes to bundles, of one step of one stream; they are listed below. "
    "What converts to one is installed into your cache the first time.",
    "Files for phones",
)
@checkpoints_option
@exported_option
@force_option
@json_option
def export(
    names: tuple[str, ...],
    opset: int,
    weights: str | None,
    max_loss: float | None,
    format: tuple[str, ...],
    key: Path | None,
    trust_all: bool,
    checkpoints: Path,
    exported: Path,
    force: bool,
    as_json: bool,
    **module: Any,
) -> None:
    """Export checkpoints, or a module of your own, to TorchScript and ONNX.

    All checkpoints are exported, or those named. Each becomes a bundle: a folder with the model,
    its manifest, and test data.

    A module of your own is named by its Python file or package and its class, or a function that
    makes it. That Python is run, as python mynet.py would run it. The state that the module keeps
    becomes inputs and outputs.

    A variant of a bundle is a bundle inside of it, in exported/NAME/TYPE, which stores its weights
    in less than float32. Its name is NAME/TYPE. To export the bundle anew removes it, and the files
    of --format. To make either of a module runs its TorchScript, which is code: it must be yours,
    signed by the owner of --key, or trusted with --trust.

    \b
    pipeline export
    pipeline export char-lstm --opset 20
    pipeline export char-lstm --weights int8
    pipeline export sine-lstm --weights int4 --max-loss 1%
    pipeline export mynet.py:Denoiser --weights trained.pt
    pipeline export mynet.py:Tagger --state h:h_next
    pipeline export net.py:Net --input x=float32[batch,time,4]
    """
    from pipeline.checkpoint import CHECKPOINT_FILE
    from pipeline.network_tensors import DEFAULT_OPSET, OPSETS
    from pipeline.report.output import finish

    if opset not in OPSETS:
        raise UsageError(f"--opset {opset}: give one from {OPSETS.start} to {OPSETS.stop - 1}")
    made_of_bundles = (weights is not None or format) and not any(map(_is_source, names))
    if max_loss is not None and not (made_of_bundles and weights):
        raise UsageError("--max-loss is for a variant; give --weights float16, int8 or int4")
    for name, is_given in (("--key", key is not None), ("--trust", trust_all)):
        if is_given and not made_of_bundles:
            raise UsageError(f"{name} is for what is made of a bundle; give --weights or --format")
    if any(map(_is_source, names)):
        if format:
            raise UsageError("--format is for bundles; export the module, then name its bundle")
        if len(names) > 1:
            raise UsageError("a module is exported alone; name one at a time")
        from pipeline.cli.export_module import export_source

        export_source(
            names[0],
            weights=Path(weights) if weights is not None else None,
            opset=opset,
            exported=exported,
            as_json=as_json,
            **module,
        )
        return
    for option in click.get_current_context().command.params:
        if module.get(option.name or ""):
            raise UsageError(
                f"{option.opts[0]} is for a module such as mynet.py:Denoiser; name one"
            )
    if format:
        if weights is not None:
            raise UsageError("--format is for a bundle in float32, and --weights for a variant")
        from pipeline.cli.export_format import export_formats

        export_formats(names, format, make_trust(key, trust_all), exported, force, as_json)
        return
    if weights is not None:
        if opset != DEFAULT_OPSET:
            raise UsageError(f"--opset {opset}: a variant has the opset of its bundle")
        from pipeline.cli.export_variant import export_variants

        trust = make_trust(key, trust_all)
        export_variants(names, weights, max_loss, trust, exported, force, as_json)
        return
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


def _step_graphs(folder: Path) -> list[str]:
    """The files of ``--format`` in a bundle, named as variants are; none if there is no bundle."""
    from pipeline.contract import open_bundle

    try:
        files = open_bundle(folder).manifest.files
    except PipelineError:
        return []
    return [f"{folder.name}/{file}" for file, entry in files.items() if entry.sizes]


def _is_source(name: str) -> bool:
    """Whether ``name`` is a class or function in Python, and no checkpoint."""
    place, colon, attribute = name.rpartition(":")
    return bool(colon and place) and all(part.isidentifier() for part in attribute.split("."))


def _export_one(source: Path, target: Path, opset: int, force: bool) -> tuple["Bundle", str]:
    from pipeline.bundle import current_bundle, open_bundle
    from pipeline.checkpoint import check_weights, read_checkpoint
    from pipeline.contract.files import MANIFEST_FILE
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
            gone = [*variants_of(target, MANIFEST_FILE), *_step_graphs(target)]
            write_folder(target, build_bundle(checkpoint, network, opset))
    for name in gone:
        say(f"{name}: removed with the bundle that it was made of; export it anew")
    bundle = open_bundle(target)
    size = sum(entry.bytes for entry in bundle.manifest.files.values())
    say(f"{target.name}: exported to {target}, {len(bundle.manifest.files)} files, {size:,} bytes")
    return bundle, "exported"
