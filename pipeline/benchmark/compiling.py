"""Networks as generated C, and programs, compiled for a measurement."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.contract.network import StoredNetwork
from pipeline.embed.building import first_error
from pipeline.embed.c.source import write_c
from pipeline.errors import UnavailableError

PROGRAMS = Path(__file__).with_name("programs")


def c_compiler() -> str:
    """The command of the C compiler, ``CC`` or else ``cc``.

    Raises:
        UnavailableError: it is not there.
    """
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        raise UnavailableError(f"{compiler} is not there; install a C compiler")
    return compiler


def compile_c(
    network: StoredNetwork, name: str, home: Path, words: Sequence[str], programs: Sequence[str]
) -> Path:
    """``name`` in the new folder ``home``: the C of ``network``, compiled with ``programs``.

    ``words`` are the compiler and further options.

    Raises:
        UnavailableError: it cannot be compiled.
    """
    home.mkdir()
    for file, data in write_c(network, name, "none").items():
        (home / file).write_bytes(data)
    sources = [home / "model.c", *(PROGRAMS / program for program in programs)]
    return compiled([*words, "-std=c99", "-O3", f"-I{home}"], sources, home / name)


def compiled(words: Sequence[str], sources: Sequence[Path], target: Path) -> Path:
    """``target``, made of ``sources``; ``words`` are the compiler and its options.

    Raises:
        UnavailableError: the compiler cannot be run, or fails.
    """
    command = [*words, *map(str, sources), "-lm", "-o", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnavailableError(f"{words[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise UnavailableError(f"{words[0]} fails: {first_error(done)}")
    return target
