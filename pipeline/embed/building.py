"""Builds the project of a target, by its commands in the folder of the project."""

import subprocess
from pathlib import Path

from pipeline.embed.target import CommandLine, Target
from pipeline.errors import UnavailableError, one_line

TIME_LIMIT = 600.0  # seconds for one command; the first build may take minutes


def build(target: Target, folder: Path, time_limit: float = TIME_LIMIT) -> None:
    """Build the project in ``folder``.

    Raises:
        UnavailableError: a command of the build fails; its first error is named.
    """
    for command in target.build():
        done = run(command, folder, time_limit)
        if isinstance(done, str):
            raise UnavailableError(f"{target.title}: {done}")
        if done.returncode:
            raise UnavailableError(
                f"{target.title} cannot be built, {command[0]} says: {first_error(done)}"
            )


def run(
    command: CommandLine, folder: Path, time_limit: float
) -> "subprocess.CompletedProcess[str] | str":
    """The finished command, or the reason why it did not finish."""
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=time_limit, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {time_limit:g} seconds"
    except OSError as error:
        return f"{command[0]} cannot be run: {one_line(error)}"


def first_error(done: "subprocess.CompletedProcess[str]") -> str:
    """The first line that mentions an error, or the last line."""
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    line = next(iter(errors), lines[-1] if lines else "nothing")
    return line.strip().removeprefix("error: ")[:300]
