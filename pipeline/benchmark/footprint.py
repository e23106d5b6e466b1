"""The weight of generated C on microcontrollers, and the instructions that a step of it takes.

Both repeat, on a busy machine too. Sizes are those that Arm's compiler and ``size`` report for a
program that holds the model, one stream, and nothing else. Instructions are counted by valgrind,
which has those of AVX2 and not those of AVX-512.
"""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from pipeline.benchmark.compiling import PROGRAMS, compiled, ran

ARM = "arm-none-eabi-gcc"
VALGRIND = "valgrind"
PROCESSORS = {
    "M4": ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    "M0": ("-mcpu=cortex-m0",),  # without floating point, which functions of the compiler do then
}
_FLAGS = ("-mthumb", "-std=c99", "-Os", "-ffreestanding", "-ffunction-sections", "-fdata-sections")
_LINKED = ("-nostdlib", "-Wl,--gc-sections,-e,reset", "-lgcc")
_BLOCK = re.compile(rb"#define (\w+_BLOCK) ")
_COUNTED = (1000, 2000)  # steps of two runs, whose difference leaves out what starts the program


class Footprint(NamedTuple):
    """Bytes of a program: constants and code, variables, and the stack that a step takes at most.

    The stack is the sum of the frames of all functions of the model.
    """

    flash: int
    variables: int
    stack: int

    @property
    def ram(self) -> int:
        """The bytes of memory that can be written."""
        return self.variables + self.stack


def is_there(program: str) -> bool:
    """Whether ``program`` can be run here."""
    return shutil.which(program) is not None


def footprint(home: Path, processor: str) -> Footprint:
    """The footprint of the ``model.c`` in ``home`` on a Cortex ``processor``, a step at a time.

    Raises:
        UnavailableError: Arm's compiler is not there, or fails.
    """
    flags = [ARM, *PROCESSORS[processor], *_FLAGS, f"-I{home}"]
    if found := _BLOCK.search((home / "model.h").read_bytes()):
        flags.append(f"-D{found[1].decode()}=1")  # more steps at once would take more stack
    model = home / f"model-{processor}.o"
    compiled([*flags, "-fstack-usage", "-c"], [home / "model.c"], model)
    program = compiled(
        flags, [PROGRAMS / "bare.c", model], home / f"bare-{processor}.elf", after=_LINKED
    )
    frames = [line.split("\t")[1] for line in model.with_suffix(".su").read_text().splitlines()]
    _, sizes = ran(["arm-none-eabi-size", str(program)]).stdout.splitlines()
    text, data, bss = map(int, sizes.split()[:3])
    return Footprint(text + data, data + bss, sum(map(int, frames)))


def instructions(program: Path) -> float:
    """The instructions that one step takes in a ``program`` that was made of ``c_step.c``.

    Raises:
        UnavailableError: valgrind is not there, or fails.
    """
    counts = []
    for steps in _COUNTED:
        words = [VALGRIND, "--tool=callgrind", "--callgrind-out-file=/dev/null", str(program)]
        told = ran([*words, "1", str(steps)])
        counts.append(int(re.findall(r"Collected : (\d+)", told.stderr)[-1]))
    return (counts[1] - counts[0]) / (_COUNTED[1] - _COUNTED[0])
