"""The generated C on microcontrollers with nothing but the model, in an emulator."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import tool

from pipeline.config import CELLS, Cell, SeriesModel
from pipeline.contract import Scaler
from pipeline.embed.c.source import write_c
from pipeline.embed.c_integer.network import IntegerNetwork
from pipeline.embed.c_integer.source import write_integer_c
from pipeline.model import Network

STEPS = 12
# Starts the processor, and its floating-point unit if it has one, and prints through the emulator's
# semihosting. The functions on memory are those that compilers ask a C library for.
PROGRAM = """
#define MODEL_NAMES
#include "model.h"
#include "inputs.h"

void *memset(void *to, int byte, size_t size) {
    char *at = to;
    while (size--) *at++ = (char)byte;
    return to;
}

void __aeabi_memclr4(void *to, size_t size) { memset(to, 0, size); }
void __aeabi_memclr8(void *to, size_t size) { memset(to, 0, size); }

void *memcpy(void *to, const void *from, size_t size) {
    char *at = to;
    const char *next = from;
    while (size--) *at++ = *next++;
    return to;
}

static void ask(int what, const void *with) {
    register int r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = with;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(MODEL_WORD value) {
    union { MODEL_WORD number; uint32_t bits; } word = {value};
    char line[10] = {0};
    int k;
    for (k = 0; k < 8; k++) line[k] = "0123456789abcdef"[word.bits >> (28 - 4 * k) & 15];
    line[8] = '\\n';
    ask(0x04, line);
}

static MODEL_WORD state[MODEL_STATE], output[MODEL_OUTPUTS];

static void work(void) {
    int step, k;
    model_init(state);
    for (step = 0; step < STEPS; step++) {
        model_step(state, inputs[step], output);
        for (k = 0; k < MODEL_OUTPUTS; k++) print(output[k]);
    }
    ask(0x18, (const void *)0x20026);
    for (;;) {}
}

void reset(void) {
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20;
    __asm__ volatile("dsb; isb");
    work();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    (const void *)0x20040000, (const void *)reset};
"""
LAYOUT = """
ENTRY(reset)
SECTIONS {
    . = 0;
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) }
    . = 0x20000000;
    .bss (NOLOAD) : { *(.data*) *(.bss*) *(COMMON) }
    /DISCARD/ : { *(.ARM*) *(.comment*) }
}
"""
# Flags of the compiler, and the machine of the emulator.
CORTEX_M4 = ["--target=thumbv7em-none-eabihf", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"], "mps2-an386"
CORTEX_M3 = ["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-mfloat-abi=soft"], "mps2-an385"


def network(cell: Cell) -> Network:
    torch.manual_seed(0)
    scaler = Scaler(
        input_mean=(0.5, 1.0), input_std=(2.0, 3.0), output_mean=(0.1,), output_std=(1.5,)
    )
    config = SeriesModel(cell=cell, hidden_size=20, num_layers=2, features=2, targets=1)
    return Network(config, scaler=scaler).eval()


def emulated(
    folder: Path, files: dict[str, bytes], kind: str, rows: str, processor: tuple[list[str], str]
) -> NDArray[np.uint32]:
    """The words that the program prints, its outputs step by step; ``rows`` are its inputs."""
    for program in ("clang", "ld.lld", "qemu-system-arm"):
        tool(program)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "inputs.h").write_text(
        f"enum {{ STEPS = {STEPS} }};\nstatic const {kind} inputs[STEPS][2] = {{\n{rows}}};\n"
    )
    (folder / "program.c").write_text(PROGRAM)
    (folder / "layout.ld").write_text(LAYOUT)
    target, machine = processor
    flags = ["-std=c99", "-Os", "-ffreestanding", "-nostdlib", "-fuse-ld=lld", "-T", "layout.ld"]
    flags += ["-ffunction-sections", "-Wl,--gc-sections"]
    command = ["clang", *target, *flags, "program.c", "model.c", "-o", "program.elf"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    emulator = ["qemu-system-arm", "-machine", machine, "-nographic", "-semihosting"]
    done = subprocess.run(
        [*emulator, "-kernel", "program.elf"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    words = (done.stdout + done.stderr).split()
    return np.array([int(word, 16) for word in words], np.uint32)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cortex_m4_gives_pytorchs_numbers(tmp_path: Path, cell: Cell) -> None:
    made = network(cell)
    inputs = np.random.default_rng(0).normal(0, 2, (1, STEPS, 2)).astype(np.float32)
    rows = ",\n".join(f"{{{x!s}f, {y!s}f}}" for x, y in inputs[0])
    files = write_c(made.stored(), "net", "0" * 64)
    found = emulated(tmp_path, files, "float", rows, CORTEX_M4).view(np.float32)
    with torch.inference_mode():
        expected, _ = made(torch.from_numpy(inputs), made.zero_state(1))
    np.testing.assert_allclose(found, expected.flatten().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cortex_m3_that_has_no_floats_gives_the_integers_of_python(
    tmp_path: Path, cell: Cell
) -> None:
    integers = IntegerNetwork("net", network(cell).stored(), farthest=4.0)
    inputs = np.random.default_rng(0).integers(-(2**15), 2**15, (1, STEPS, 2))
    rows = ",\n".join(f"{{{x}, {y}}}" for x, y in inputs[0])
    files = write_integer_c(integers, "0" * 64)
    # Without a library that computes floats, the program is linked if it asks for none.
    found = emulated(tmp_path, files, "int16_t", rows, CORTEX_M3).view(np.int32)
    expected, _ = integers.run(inputs, integers.zero_state(1))
    assert found.tolist() == expected.flatten().tolist()
