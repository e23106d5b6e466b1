"""The generated C on a microcontroller: a Cortex-M4 with nothing but the model, in an emulator."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tool

from pipeline.config import CELLS, Cell, SeriesModel
from pipeline.contract import Scaler
from pipeline.embed.c.source import write_c
from pipeline.model import Network

STEPS = 12
# Starts the processor and its floating-point unit, and prints through the emulator's semihosting.
PROGRAM = """
#define MODEL_NAMES
#include "model.h"
#include "inputs.h"

void *memset(void *to, int byte, size_t size) {
    char *at = to;
    while (size--) *at++ = (char)byte;
    return to;
}

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

static void print(float value) {
    union { float number; uint32_t bits; } word = {value};
    char line[10] = {0};
    int k;
    for (k = 0; k < 8; k++) line[k] = "0123456789abcdef"[word.bits >> (28 - 4 * k) & 15];
    line[8] = '\\n';
    ask(0x04, line);
}

static float state[MODEL_STATE], output[MODEL_OUTPUTS];

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
TARGET = ["--target=thumbv7em-none-eabihf", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"]


@pytest.mark.parametrize("cell", CELLS)
def test_a_cortex_m4_gives_pytorchs_numbers(tmp_path: Path, cell: Cell) -> None:
    for program in ("clang", "ld.lld", "qemu-system-arm"):
        tool(program)
    torch.manual_seed(0)
    scaler = Scaler(
        input_mean=(0.5, 1.0), input_std=(2.0, 3.0), output_mean=(0.1,), output_std=(1.5,)
    )
    config = SeriesModel(cell=cell, hidden_size=20, num_layers=2, features=2, targets=1)
    network = Network(config, scaler=scaler).eval()
    inputs = np.random.default_rng(0).normal(0, 2, (1, STEPS, 2)).astype(np.float32)
    for name, data in write_c(network.stored(), "net", "0" * 64).items():
        (tmp_path / name).write_bytes(data)
    rows = ",\n".join(f"{{{x!s}f, {y!s}f}}" for x, y in inputs[0])
    (tmp_path / "inputs.h").write_text(
        f"enum {{ STEPS = {STEPS} }};\nstatic const float inputs[STEPS][2] = {{\n{rows}}};\n"
    )
    (tmp_path / "program.c").write_text(PROGRAM)
    (tmp_path / "layout.ld").write_text(LAYOUT)
    flags = ["-std=c99", "-Os", "-ffreestanding", "-nostdlib", "-fuse-ld=lld", "-T", "layout.ld"]
    command = ["clang", *TARGET, *flags, "program.c", "model.c", "-o", "program.elf"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    machine = ["qemu-system-arm", "-machine", "mps2-an386", "-nographic", "-semihosting"]
    done = subprocess.run(
        [*machine, "-kernel", "program.elf"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    words = (done.stdout + done.stderr).split()
    found = np.array([int(word, 16) for word in words], np.uint32).view(np.float32)
    with torch.inference_mode():
        expected, _ = network(torch.from_numpy(inputs), network.zero_state(1))
    np.testing.assert_allclose(found, expected.flatten().numpy(), rtol=1e-4, atol=1e-5)
