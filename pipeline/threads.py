"""The number of threads that a network gets, in every library that has a thread pool.

A step of a small network takes microseconds. Threads that share it wait for each other most of the
time, and they spin while they wait, so that on a busy machine each step may cost a time slice of
the scheduler. So a small network runs on one thread in every library. A large one runs on all
processors that this process may use, with threads that sleep while they wait.
"""

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime
    from torch import nn

LARGE = 1_000_000  # weights from which more threads are faster, even on a busy machine
_BYTES = 4  # size of a weight in a file


def threads_of(weights: int) -> int:
    """The number of threads for a network of so many ``weights``."""
    return 1 if weights < LARGE else _processors()


def weights_of(module: "nn.Module") -> int:
    """The number of weights of ``module``."""
    return sum(weight.numel() for weight in module.parameters())


def weights_in(file: bytes) -> int:
    """The approximate number of weights in a model file, taken from its size."""
    return len(file) // _BYTES


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # containers and taskset may allow fewer
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def wait_asleep(environment: MutableMapping[str, str]) -> None:
    """Set the variable in ``environment`` that lets the threads of PyTorch sleep while they wait.

    OpenMP reads it once, when ``torch`` is imported. A value that the user has set is kept.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_threads(weights: int) -> None:
    """Set the threads of PyTorch for a network of so many ``weights``, if torch is imported."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads_of(weights))


@contextmanager
def torch_threads(weights: int) -> Iterator[None]:
    """Limit the threads of PyTorch to those of a network of so many ``weights``, in a block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, threads_of(weights)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def session_options(weights: int = 0) -> "onnxruntime.SessionOptions":
    """Options of ONNX Runtime for a network of so many ``weights``: no spinning, and no log."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads_of(weights)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are also raised as exceptions, and shown once
    return options
