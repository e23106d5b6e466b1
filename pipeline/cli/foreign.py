"""``pipeline validate --torchscript A.pt --onnx B.onnx``: a pair of model files, not a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import Command, must_have_run, section
from pipeline.errors import ParityError, UnsafeError, UsageError

if TYPE_CHECKING:
    from pipeline.trust import Trust

_FILES = "pipeline.foreign"  # key of the files in click's context, in command-line order
_option = section("Pair of model files, in place of bundles")


def _in_order(
    context: click.Context, option: click.Parameter, paths: tuple[Path, ...]
) -> tuple[Path, ...]:
    """Remember the files of both options in command-line order, in which click calls this."""
    form = {"onnx": "ONNX", "torchscript": "TorchScript"}[option.name or ""]
    context.meta.setdefault(_FILES, []).extend((form, path) for path in paths)
    return paths


def foreign_options(command: Command) -> Command:
    """Add the options of a pair of model files to ``command``."""
    file = click.Path(path_type=Path, dir_okay=False)
    for option in (
        _option(
            "--shape",
            "shapes",
            multiple=True,
            metavar="NAME=SIZE,…",
            help="Shape of an input. A word in place of a size is a dynamic axis. Repeatable.  "
            "[default: as the ONNX file declares it]",
        ),
        _option(
            "--input",
            "inputs",
            multiple=True,
            metavar="NAME=VALUES",
            help="Values of an input: one number, a range as in tokens=0..49, or a .npy or .npz "
            "file. Repeatable.  [default: random; indices of a table are within it]",
        ),
        _option(
            "--state",
            "states",
            multiple=True,
            metavar="NAME:NEXT",
            help="An input that is a state, and the output that is its next value. Repeatable; "
            "'none' if there is no state.  [default: found by names and shapes]",
        ),
        _option(
            "--torchscript",
            type=file,
            multiple=True,
            callback=_in_order,
            help="A TorchScript file to compare. The first of the two files is the reference.",
        ),
        _option(
            "--onnx",
            type=file,
            multiple=True,
            callback=_in_order,
            help="An ONNX file to compare. At least one of the two files is ONNX.",
        ),
    ):
        command = option(command)
    return command


def foreign(
    names: tuple[str, ...],
    providers: tuple[str, ...],
    on_trial: bool,
    report: Path | None,
    junit: Path | None,
    trust: "Trust",
    as_json: bool,
    *,
    states: tuple[str, ...],
    inputs: tuple[str, ...],
    shapes: tuple[str, ...],
    **_files: Any,
) -> None:
    """Compare the two files of ``--onnx`` and ``--torchscript``, and print the rows.

    Raises:
        UsageError: the options contradict each other, or name a tensor that does not exist.
        UnsafeError: a file is TorchScript, and ``trust`` does not cover it.
        IntegrityError: a file is the TorchScript of a bundle and was changed.
        MalformedError: a file is no model, or the tensors of the two do not correspond.
        ParityError: numbers do not match, or nothing could be compared.
        UnavailableError: a provider that was asked for is not on this machine.
    """
    files: list[tuple[str, Path]] = click.get_current_context().meta[_FILES]
    if len(files) != 2:
        raise UsageError(
            f"two files are compared and {len(files)} are given; "
            "give --torchscript or --onnx twice in all"
        )
    for alone, given in (("names", names), ("--report", report), ("--self-test", on_trial)):
        if given:
            raise UsageError(f"{alone} cannot be used with --onnx and --torchscript; leave it out")
    for form, path in files:
        if form == "TorchScript" and not trust.everything:
            _must_be_trusted(path, trust)
    from pipeline.report.junit import junit_xml
    from pipeline.report.output import console, finish
    from pipeline.report.validation_tables import validation_notes, validation_tables
    from pipeline.runtimes.catalog import require
    from pipeline.runtimes.kind import PROVIDERS
    from pipeline.storage import update_file
    from pipeline.validate.foreign import ForeignFile, PairChoices, validate_pair

    require(providers)
    chosen = tuple(dict.fromkeys(providers)) or PROVIDERS
    first, second = (ForeignFile(form, path) for form, path in files)
    with console().status("comparing"):
        result = validate_pair(first, second, chosen, PairChoices(states, inputs, shapes))
    if junit is not None:
        update_file(junit, junit_xml([result]))
    finish(
        as_json,
        [result.model_dump(mode="json")],
        validation_tables([result], "largest errors against the first file"),
        notes=validation_notes([result], details=True),
    )
    must_have_run(result.rows, providers)
    if not result.passed:
        raise ParityError(f"{result.model}: no match; see the rows marked fail")


def _must_be_trusted(path: Path, trust: "Trust") -> None:
    """Let a TorchScript file run by ``--trust`` alone, or as the file of a trusted bundle."""
    from pipeline.contract import open_bundle
    from pipeline.contract.files import MANIFEST_FILE, TORCHSCRIPT_FILE

    file = path.resolve()
    if file.name != TORCHSCRIPT_FILE or not (file.parent / MANIFEST_FILE).is_file():
        raise UnsafeError(
            f"{path} is TorchScript, which is code that runs here; add --trust if you know who "
            "made it"
        )
    bundle = open_bundle(file.parent)
    trust.require(bundle)
    bundle.read(TORCHSCRIPT_FILE)  # raises if the file does not have the digest in the manifest
