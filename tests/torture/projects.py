"""What reads an embedded project: its list of digests, its replay, and embed onto it."""

import shutil
import subprocess
import time
from pathlib import Path

from torture.forked import Ended, pipeline, program
from torture.originals import Originals

SUMS = "SHA256SUMS"
_LIMIT = 30.0  # seconds


def build(target: str, project: Path, built: Path) -> None:
    """Build a copy of a project where it needs that; all replays of its copies borrow from it."""
    from pipeline.embed.replay import build as build_project
    from pipeline.embed.targets import find_target

    shutil.copytree(project, built)
    build_project(find_target(target), built)


def replay(target: str, originals: Originals, folder: Path, model: str) -> Ended:
    """Replay the golden trajectories in the project of ``target`` below ``folder``."""
    project, built = folder / "projects" / target, originals.built(model, target)
    if target == "python":
        return program("replay.py", project)
    if target == "node":
        (project / "node_modules").symlink_to(built / "node_modules")
        return _process(("node", "replay.mjs"), project)
    shutil.copy(built / "replay", project / "replay")
    return _process(("./replay",), project)


def embed_again(target: str, originals: Originals, folder: Path, model: str) -> Ended:
    """Embed the model onto the project that is there."""
    return pipeline(("embed", model, target, f"--out=projects/{target}", "--force"), folder)


def sums(target: str, originals: Originals, folder: Path, model: str) -> Ended:
    """``sha256sum --check`` in the project, its refusal told as a digest that does not match.

    A digest in capital letters is the same number, and so the list is read in small ones.
    """
    project = folder / "projects" / target
    listed = project / SUMS
    if listed.is_file():
        listed.write_bytes(listed.read_bytes().lower() if _is_hex_case(originals, listed) else b"")
    ended = _process(("sha256sum", "--check", "--strict", "--quiet", SUMS), project)
    return ended
