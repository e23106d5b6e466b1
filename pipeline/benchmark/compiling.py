"""Networks as generated C, and programs, compiled for a measurement."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.contract.network import StoredNetwork
from pipeline.contract.small_weights import SmallType
from pipeline.embed.building import first_error
from pipeline.errors import UnavailableError
from pipeline.variants.rounding import rounded_to_nearest

PROGRAMS = Path(__file__).with_name("programs")
FARTHEST = 6.0  # deviations from the mean that the inputs of a network in integers hold


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
    files: Mapping[str, bytes],
    name: str,
    home: Path,
    words: Sequence[str],
    programs: Sequence[str] = (),
) -> Path:
    """``name`` in the new folder ``home``: ``files`` of generated C, compiled with ``programs``.

    ``words`` are the compiler and further options.

    Raises:
        UnavailableError: it cannot be compiled.
    """
    home.mkdir()
    for file, data in files.items():
        (home / file).write_bytes(data)
    sources = [home / "model.c", *(PROGRAMS / program for program in programs)]
    return compiled([*words, "-std=c99", "-O3", f"-I{home}"], sources, home / name)


def rounded(network: StoredNetwork, kind: SmallType) -> StoredNetwork:
    """The network with weights of ``kind``, each rounded to the nearest."""
    small = rounded_to_nearest(network.weights, kind)
    values = {name: weight.values for name, weight in small.items()}
    return replace(network, weights=network.weights | values, small=small)


def compiled(
    words: Sequence[str], sources: Sequence[Path], target: Path, after: Sequence[str] = ("-lm",)
) -> Path:
    """``target``, made of ``sources``; ``words`` are the compiler and its options.

    Options for the linker come ``after`` them.

    Raises:
        UnavailableError: the compiler cannot be run, or fails.
    """
    ran([*words, *map(str, sources), *after, "-o", str(target)])
    return target


def ran(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """What ``command`` printed, once it has ended well.

    Raises:
        UnavailableError: it cannot be run, or fails; says why.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnavailableError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise UnavailableError(f"{command[0]} fails: {first_error(done)}")
    return done
