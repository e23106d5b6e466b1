"""What a command may leave: a code of the table, one line, nothing a terminal obeys."""

import re
import signal

from pipeline.errors import BY_EXIT_CODE, INTERRUPTED
from torture.forked import Ended

SEEN = (3, 4, 5, 6)  # malformed, unsafe, integrity, parity
CODES = {0, *BY_EXIT_CODE, INTERRUPTED}
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
# Into a pipe the text of a model goes as it is; a terminal is not there to obey it.
_TEXT = re.compile(r"\brun\b.* --prompt=")
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_WARNING = re.compile(r"^.*?(\w*Warning: .*)$", re.MULTILINE)


def fault_of(ended: Ended) -> str:
    """What is wrong with the way in which a command ended, in one line; nothing if all is well."""
    if ended.hung:
        return f"hangs: {ended.seconds:.0f} s"
    if "Traceback (most recent call last)" in ended.err:
        return f"traceback: {_where(ended.err)}"
    if ended.code < 0:
        return f"crashes: {signal.Signals(-ended.code).name} {_last_line(ended.err)}"
    if ended.code not in CODES:
        return f"exit code {ended.code}: {_last_line(ended.err)}"
    shown = ended.err if _TEXT.search(ended.command) else ended.out + ended.err
    if found := _CONTROL.search(shown):
        return f"the terminal gets {found.group()!r}"
    if found := _WARNING.search(ended.err):
        return f"warns: {found.group(1)[:150]}"
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    if ended.code == 0:
        return f"exit code 0 after {errors[0]!r}" if errors else ""
    if len(errors) != 1 or not _last_line(ended.err).startswith("error: "):
        return f"no one line for exit code {ended.code}: {ended.err[-200:]!r}"
    if len(errors[0]) > 1500:
        return f"a line of {len(errors[0]):,} characters: {errors[0][:80]!r}"
    return ""


def unseen(ended: Ended) -> str:
    """What is wrong with a command that had to see that a file is not as it was."""
    fault = fault_of(ended)
    if not fault and ended.code not in SEEN:
        return f"unseen: exit code {ended.code} {_last_line(ended.err)[:150]}".rstrip()
    return fault


def _where(err: str) -> str:
    """The last place of ours in a traceback, and the exception."""
    ours = [place for place in _FRAME.findall(err) if "/pipeline/" in place[0]]
    file, line, function = (ours or _FRAME.findall(err) or [("?", "?", "?")])[-1]
    file = file[file.rfind("/pipeline/") + 1 :] if ours else file.rsplit("/", 1)[-1]
    return f"{file}:{line} {function}: {_last_line(err)[:150]}"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
