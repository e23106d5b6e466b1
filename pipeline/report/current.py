"""What the report is made from, and whether a page shows just that."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline import __version__
from pipeline.contract import Bundle
from pipeline.runtimes.catalog import ALL, known_providers
from pipeline.storage import canonical_json, is_unfinished, sha256
from pipeline.validate import Validation


def fingerprint(validated: Sequence[tuple[Bundle, Validation]]) -> str:
    """What the page is made from, in short; it stands in the page itself."""
    content = [validation.model_dump(mode="json") for _, validation in validated]
    commands = [command(bundle, validation) for bundle, validation in validated]
    return sha256(canonical_json([__version__, content, commands]))


def is_current(path: Path, validated: Sequence[tuple[Bundle, Validation]]) -> bool:
    """Whether the page at ``path`` shows just these findings; drawing it takes seconds.

    A page whose writer was killed is drawn again, which removes what the writer left.
    """
    if not path.is_file() or is_unfinished(path):
        return False
    return fingerprint(validated).encode() in path.read_bytes()


def command(bundle: Bundle, validation: Validation) -> str:
    """The command that finds all this again."""
    words = ["pipeline", "validate", validation.model, "--force"]
    built = [row.replay.target for row in validation.rows if row.replay]
    if validation.runtimes != ALL or built:  # without, those that are not there may be so
        words += [word for name in (*validation.runtimes, *built) for word in ("--runtime", name)]
    if validation.providers != known_providers():
        words += [word for name in validation.providers for word in ("--provider", name)]
    if bundle.folder.parent != Path("exported"):
        words += ["--exported", str(bundle.folder.parent)]
    return shlex.join(words)
