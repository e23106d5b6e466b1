"""The inputs of the report, and the check whether an existing page was made from them."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline import __version__
from pipeline.contract import Bundle
from pipeline.runtimes.catalog import ALL, known_providers
from pipeline.storage import canonical_json, is_unfinished, sha256
from pipeline.validate import Validation


def fingerprint(validated: Sequence[tuple[Bundle, Validation]]) -> str:
    """A digest of the inputs of the page, which is written into the page."""
    content = [validation.model_dump(mode="json") for _, validation in validated]
    commands = [command(bundle, validation) for bundle, validation in validated]
    return sha256(canonical_json([__version__, content, commands]))


def is_current(path: Path, validated: Sequence[tuple[Bundle, Validation]]) -> bool:
    """Whether the page at ``path`` was made from these validations; drawing a page takes seconds.

    A page whose writer was killed is drawn again, which removes the writer's temporary files.
    """
    if not path.is_file() or is_unfinished(path):
        return False
    return fingerprint(validated).encode() in path.read_bytes()


def command(bundle: Bundle, validation: Validation) -> str:
    """The command that repeats ``validation``."""
    words = ["pipeline", "validate", validation.model, "--force"]
    built = [row.replay.target for row in validation.rows if row.replay]
    if validation.runtimes != ALL or built:  # a runtime that is named must be installed
        words += [word for name in (*validation.runtimes, *built) for word in ("--runtime", name)]
    if validation.providers != known_providers():
        words += [word for name in validation.providers for word in ("--provider", name)]
    if bundle.folder.parent != Path("exported"):
        words += ["--exported", str(bundle.folder.parent)]
    return shlex.join(words)
