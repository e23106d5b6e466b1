"""``pipeline export mynet.py:Denoiser``: the export of a user's own module."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.options import next_command
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.export.state import Explicit


def export_source(
    source: str,
    *,
    name: str | None,
    weights: Path | None,
    arguments: tuple[str, ...],
    inputs: tuple[str, ...],
    example: Path | None,
    states: tuple[str, ...],
    opset: int,
    exported: Path,
    as_json: bool,
) -> None:
    """Export the module that ``source`` names, and say what was understood of its state."""
    from pipeline.report.fact_tables import state_table
    from pipeline.report.output import console, finish, say
    from pipeline.report.output import show as print_tables
    from pipeline.run.export import export_module
    from pipeline.usercode.inputs import declared_inputs, example_inputs, guessed_inputs
    from pipeline.usercode.source import load_module
    from pipeline.usercode.weights import load_weights

    module = load_module(source, arguments)
    if weights is not None:
        load_weights(module, weights)
    kind = type(module).__name__
    if example is not None:
        given = example_inputs(example, inputs)
    elif inputs:
        given = declared_inputs(inputs)
    else:
        given = guessed_inputs(module, kind)

    def show(found: "Explicit") -> None:
        if not as_json:
            status.stop()  # its line would stand in the way of the table
            print_tables([state_table(found.described)])
            status.start()

    with console().status(f"exporting {kind}") as status:
        bundle = export_module(
            module,
            kwargs=given.example,
            name=name or source.rpartition(":")[2].rpartition(".")[2],
            axes=given.axes,
            states=_pairs(states),
            samples=given.samples,
            exported=exported,
            opset=opset,
            show=show,
        )
    say(f"{bundle.name}: exported to {bundle.folder}, {len(bundle.manifest.files)} files")
    content = {"name": bundle.name, "status": "exported", "bundle": str(bundle.folder)}
    finish(as_json, [content], [], next_command("pipeline validate", (bundle.name,)))


def _pairs(states: tuple[str, ...]) -> Any:
    """The pairs of ``--state``: a mapping, or ``auto`` or ``none``."""
    if not states:
        return "auto"
    if states in (("auto",), ("none",)):
        return states[0]
    pairs = {}
    for text in states:
        before, colon, after = text.partition(":")
        if not (before and colon and after):
            raise UsageError(f"--state {text}: give ARGUMENT:RESULT, auto or none")
        pairs[before] = int(after) if after.isdigit() else after
    return pairs
