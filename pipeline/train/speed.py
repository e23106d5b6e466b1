"""Device, precision and threads of a training, as configured or as measured to be faster."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from pipeline.config import SeriesModel, TrainingConfig
from pipeline.errors import UnavailableError, one_line
from pipeline.model import Network
from pipeline.threads import threads_of, weights_of
from pipeline.train.batches import Batch, Task
from pipeline.train.step import TrainingPrecision, make_optimizer, train_step

_MORE_PRECISE = 1.2  # bfloat16 must be faster by this factor
_MORE_SPARING = 1.5  # and so must many threads: on a busy machine they wait for each other
_LEAST, _ROUNDS = 3, 5  # rounds; the first one of a kernel includes its preparation
_SECONDS = 1.0  # after which no further round of measurements begins

Choice = TypeVar("Choice")


def choose_device(name: str) -> torch.device:
    """The PyTorch device called ``name``; ``auto`` is CUDA if it is available, else the CPU.

    Raises:
        UnavailableError: PyTorch cannot use that device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UnavailableError(
            f"PyTorch {torch.__version__} cannot use the device '{name}' here; try --device cpu"
        ) from error
    return device


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Set the threads of PyTorch to ``count`` in a block, and back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn errors of PyTorch in a block into an UnavailableError of one line."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise UnavailableError(
            f"PyTorch cannot train this network here ({one_line(error)}); try a smaller one, a "
            "smaller --batch-size, or --device cpu"
        ) from error


def choose_speed(
    network: Network, task: Task, options: TrainingConfig
) -> tuple[TrainingPrecision, int]:
    """Choose precision and threads: the configured ones, or those that are measured to be faster.

    The default is float32 on one thread; another choice must be faster by a clear factor. Each is
    measured on a copy of the network, by one training step and an evaluation. A choice that fails
    or gives NaN is dropped. bfloat16 is tried only for text, since forecasts need all 24 bits of
    float32, and many threads only for large networks.

    Raises:
        UnavailableError: bfloat16 was asked for, and PyTorch cannot train in it here.
    """
    batch = next(task.batches(0))
    threads = options.threads or 1

    on_cpu = network.head.weight.device.type == "cpu"

    def seconds(
        precision: TrainingPrecision,
        count: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> float:
        with on_threads(count):
            return _seconds(network, task, options, precision, batch, clock)

    if options.precision != "auto":
        precision: TrainingPrecision = options.precision
        check_precision(network, task, options, precision, threads)
    elif isinstance(network.config, SeriesModel):
        precision = "float32"
    else:
        precisions: tuple[TrainingPrecision, ...] = ("float32", "bfloat16")
        # Processor time, since on a busy machine the other is what others take.
        clock = time.process_time if on_cpu else time.perf_counter
        precision = _fastest(precisions, lambda one: seconds(one, threads, clock), _MORE_PRECISE)
    if options.threads is None and on_cpu:
        counts = sorted({1, min(torch.get_num_threads(), threads_of(weights_of(network)))})
        threads = _fastest(counts, lambda count: seconds(precision, count), _MORE_SPARING)
    return precision, threads


def check_precision(
    network: Network,
    task: Task,
    options: TrainingConfig,
    precision: TrainingPrecision,
    threads: int,
) -> None:
    """Raises UnavailableError if PyTorch cannot train ``network`` in ``precision`` here.

    float32 is not tried, since every processor supports it.
    """
    if precision == "float32":
        return
    try:
        with on_threads(threads):
            _seconds(network, task, options, precision, next(task.batches(0)))
    except RuntimeError as error:
        raise UnavailableError(
            f"PyTorch cannot train this network in {precision} here ({one_line(error)}); try "
            "--precision float32"
        ) from error


def _fastest(
    choices: Sequence[Choice], seconds: Callable[[Choice], float], factor: float
) -> Choice:
    """The first of ``choices``, unless a later one beats the best so far by ``factor``."""
    if len(choices) == 1:
        return choices[0]
    least = dict.fromkeys(choices, math.inf)
    began = time.perf_counter()
    for number in range(1, _ROUNDS + 1):
        for choice in tuple(least):  # in turn, so that a busy moment slows all of them
            try:
                least[choice] = min(least[choice], seconds(choice))
            except RuntimeError:  # PyTorch has no kernel for it on this machine
                del least[choice]
        if number >= _LEAST and time.perf_counter() - began > _SECONDS:
            break
    best = choices[0]
    for choice, taken in least.items():
        if taken * factor < least.get(best, math.inf):
            best = choice
    return best


def _seconds(
    network: Network,
    task: Task,
    options: TrainingConfig,
    precision: TrainingPrecision,
    batch: Batch,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The seconds of a training step on a copy of ``network`` by ``clock``; infinite after NaN."""
    trial = copy.deepcopy(network).train()
    optimizer = make_optimizer(trial, options)
    device = trial.head.weight.device
    started = clock()
    state = trial.zero_state(len(batch.input))
    loss, state = train_step(trial, optimizer, task, options, precision, batch, state)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    taken = clock() - started
    with torch.no_grad():
        output, _ = trial.eval()(batch.input.to(device), state)
    return taken if math.isfinite(loss) and output.isfinite().all() else math.inf
