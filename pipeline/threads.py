"""How many threads a network gets, in every library that has a pool of them.

A step of a small network is over in microseconds. Threads that share it wait for each other most
of the time, and they wait spinning, so that on a machine with other work each step may cost them a
time slice of the scheduler. A small network therefore runs on one thread everywhere; a large one on
all processors that this process may use, by threads that sleep while they wait.
"""

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime
    from torch import nn

LARGE = 1_000_000  # weights from which on a second thread pays, whatever else the machine does
_BYTES = 4  # of a weight in a file


def threads_of(weights: int) -> int:
    """How many threads a network of so many ``weights`` gets."""
    return 1 if weights < LARGE else _processors()


def weights_of(module: "nn.Module") -> int:
    """How many weights ``module`` has."""
    return sum(weight.numel() for weight in module.parameters())


def weights_in(file: bytes) -> int:
    """How many weights a model file has, about: they are most of it."""
    return len(file) // _BYTES


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # containers and taskset may allow fewer
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def wait_asleep(environment: MutableMapping[str, str]) -> None:
    """Let the threads of PyTorch sleep while they wait, in the process of this ``environment``.

    OpenMP reads it once, before ``torch`` is imported. What a user has set stays.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_threads(weights: int) -> None:
    """Let PyTorch, if this process has it, use as many threads as such a network gets."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads_of(weights))


@contextmanager
def torch_threads(weights: int) -> Iterator[None]:
    """Let PyTorch use no more threads than a network of so many ``weights`` gets."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, threads_of(weights)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def session_options(weights: int = 0) -> "onnxruntime.SessionOptions":
    """Quiet options of ONNX Runtime for a network of so many ``weights``; no thread spins."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads_of(weights)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what is an error comes as an exception, which is told once
    return options
