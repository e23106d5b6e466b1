"""``pipeline export NAME --format FORMAT``: step graphs of bundles, for other runtimes."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.options import next_command
from pipeline.errors import unknown

if TYPE_CHECKING:
    from pipeline.contract import Bundle
    from pipeline.runtimes.kind import Kind
    from pipeline.trust import Trust


def export_formats(
    names: tuple[str, ...],
    formats: tuple[str, ...],
    trust: "Trust",
    exported: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Add the files of ``formats`` to the bundles of ``names``, or to all.

    Raises:
        UsageError: no runtime with a converter has the name of a format.
        UnsafeError: a bundle is of a module whose TorchScript may not run by ``trust``.
    """
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.report.output import finish, say
    from pipeline.runtimes.catalog import RUNTIMES

    known = {name: kind for name, kind in RUNTIMES.items() if kind.converter is not None}
    for name in formats:
        if name not in known:
            raise unknown("format", name, known)
    results = []
    for folder in find_bundles(exported, names):
        bundle = open_bundle(folder)
        bundle.verify()
        for name in formats:
            kind = known[name]
            bundle, status = _export_one(bundle, kind, trust, force)
            size = bundle.manifest.files[kind.file].bytes
            say(f"{folder.name}: {kind.file} {status}, {size:,} bytes")
            results.append(
                {
                    "name": bundle.manifest.name,
                    "format": name,
                    "status": status,
                    "file": str(folder / kind.file),
                }
            )
    finish(as_json, results, [], next_command("pipeline validate", names))


def _export_one(
    bundle: "Bundle", kind: "Kind", trust: "Trust", force: bool
) -> "tuple[Bundle, str]":
    from pipeline.report.output import console, say

    if not force and kind.file in bundle.manifest.files:
        return bundle, "unchanged"
    if bundle.manifest.module is not None:
        trust.require(bundle)
    from pipeline.run.step_graph import export_step_graph

    with console().status(f"converting {bundle.manifest.name} to {kind.file}"):
        return export_step_graph(bundle, kind, say), "exported"
