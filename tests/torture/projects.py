"""What reads an embedded project: its list of digests, its replay, and embed onto it."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import IntegrityError
from torture.forked import Ended, pipeline, program
from torture.originals import Originals

SUMS = "SHA256SUMS"
_LIMIT = 60.0  # seconds
_MISMATCH, _PARITY = 1, 6  # how a replay says that numbers are off, and how a command does


def replay(originals: Originals, project: Path, model: str) -> Ended:
    """Replay the golden trajectories of ``project``; 1, its exit code for a mismatch, is told as 6.

    Besides its files it needs what was built of the same project before.
    """
    target = project.name
    built = originals.built(model, target)
    if target == "python":
        ended = program("replay.py", project)
    elif target == "node":
        (project / "node_modules").symlink_to(built / "node_modules")
        ended = _process(("node", "replay.mjs"), project)
    else:
        shutil.copy(built / "replay", project / "replay")
        ended = _process(("./replay",), project)
    if ended.code == _MISMATCH and '"passed": false' in ended.out.replace('":false', '": false'):
        return Ended(ended.arguments, _PARITY, "", "error: numbers are off", ended.seconds)
    return ended


def example(originals: Originals, project: Path, model: str) -> Ended:
    """Write a few characters by the graph with the loop inside."""
    options = ("--prompt", "the", "--length", "3")
    if project.name == "python":
        return program("example.py", project, options)
    (project / "node_modules").symlink_to(originals.built(model, "node") / "node_modules")
    return _process(("node", "example.mjs", *options), project)


def embed_again(originals: Originals, project: Path, model: str) -> Ended:
    """Embed the model onto its project, which has to be as it was written."""
    return pipeline(
        ("embed", model, project.name, f"--out=projects/{project.name}"), _home(project)
    )


def embed_anew(originals: Originals, project: Path, model: str) -> Ended:
    """Embed the model onto its project, whatever has become of that."""
    command = ("embed", model, project.name, f"--out=projects/{project.name}", "--force")
    return pipeline(command, _home(project))


def sums(originals: Originals, project: Path, model: str) -> Ended:
    """``sha256sum --check`` in ``project``; its refusal is told as digests that do not match.

    It proves every file but the list itself, in which a digest may be in capitals, and a line that
    begins with # is none. ``embed`` takes the list only as it was written.
    """
    ended = _process(("sha256sum", "--check", "--strict", "--quiet", SUMS), project)
    if ended.code:
        code = IntegrityError.exit_code
        return Ended(ended.arguments, code, "", "error: digests do not match", ended.seconds)
    return ended


def _home(project: Path) -> Path:
    """The folder of the model that ``project`` was made of."""
    return project.parents[1]


def _process(command: Sequence[str], folder: Path) -> Ended:
    started = time.monotonic()
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return Ended(tuple(command), -9, "", "", time.monotonic() - started, hung=True)
    seconds = time.monotonic() - started
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return Ended(tuple(command), done.returncode, out, err, seconds)
