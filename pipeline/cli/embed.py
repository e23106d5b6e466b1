"""``pipeline embed``."""

import shlex
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from pipeline.cli.listing import ListingCommand, targets
from pipeline.cli.options import Integer, bundle_argument, exported_option, json_option
from pipeline.cli.trust import make_trust, trust_options
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.embed.target import Target


def _targets(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    from pipeline.embed.targets import TARGETS

    return [name for name in TARGETS if name.startswith(begun)]


@click.command(cls=ListingCommand, lists=targets)
@bundle_argument
@click.argument("target", shell_complete=_targets)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder that the project is written to.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Replace files of the project that were changed. Files that you added stay.",
)
@click.option(
    "--serve",
    "is_served",
    is_flag=True,
    help="Build the project and serve its page on this machine.",
)
@click.option(
    "--port",
    type=Integer(0, 65535),
    default=8000,
    help="Port that --serve listens on. 0 takes a free one.",
)
@trust_options
@exported_option
@json_option
def embed(
    name: str,
    target: str,
    out: Path,
    force: bool,
    is_served: bool,
    port: int,
    key: Path | None,
    trust_all: bool,
    exported: Path,
    as_json: bool,
) -> None:
    """Write a small project that runs an exported model elsewhere.

    TARGET is one of the targets listed below. Each project has a client to copy, a program that
    replays the golden trajectories, an example, and a README with the commands.

    \b
    pipeline embed char-lstm python --out char-python
    pipeline embed sine-lstm c --out sine-c
    """
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.embed.building import build
    from pipeline.embed.project import write_project
    from pipeline.embed.targets import find_target
    from pipeline.report.output import finish, say

    chosen = find_target(target)
    page = chosen.page
    if is_served and page is None:
        raise UsageError(f"--serve shows a page, and {target} has none; leave --serve out")
    [folder] = find_bundles(exported, (name,))
    opened = open_bundle(folder)
    trust = make_trust(key, trust_all)
    files, status = write_project(opened, chosen, out, force, trust)
    model = opened.manifest.name
    content = {"target": target, "model": model, "status": status, "out": str(out), "files": files}
    say(f"{model} for {chosen.title}: {status}, {len(files)} files in {out}")
    finish(as_json, content, [], () if is_served else _to_type(chosen, name, out, exported))
    if is_served and page is not None:
        build(chosen, out)
        with page.serve(out, port) as url:
            say(f"the page is at {url}; Ctrl-C ends")
            with suppress(KeyboardInterrupt):
                Event().wait()


def _to_type(target: "Target", bundle: str, out: Path, exported: Path) -> tuple[str, ...]:
    """The commands that show that the project runs: a page is served, others replay or start."""
    if target.page is not None:
        words = ["pipeline", "embed", bundle, target.name, "--out", str(out), "--serve"]
        if exported != Path("exported"):
            words += ["--exported", str(exported)]
        return (shlex.join(words),)
    steps = (*target.build(), target.replay or target.start)
    return (shlex.join(["cd", str(out)]), " && ".join(map(shlex.join, steps)))
