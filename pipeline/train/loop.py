"""The training loop: a generator of progress that can be stopped, saved and taken up again."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.config import Config, SeriesModel, TrainingConfig
from pipeline.errors import MalformedError, UnavailableError
from pipeline.model import Network
from pipeline.train.batches import Task

_WARM_UP_STEPS = 50
_FINAL_RATE = 0.02  # share of the learning rate that the cosine schedule ends with
_FASTER = 1.2  # what is less exact or less sparing must win by this factor
_PRECISIONS: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Progress:
    """Where training stands after a step; ``validation_loss`` is there at the end of an epoch."""

    epoch: int
    step: int
    steps: int
    loss: float
    validation_loss: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """All that the rest of a training depends on, taken at the end of an epoch.

    ``tensors`` holds the current weights (``network.*``), the best ones (``best.*``) and the
    moments of the optimiser (``optimizer.*``).
    """

    tensors: dict[str, Tensor]
    epoch: int
    best_loss: float
    best_epoch: int
    seconds: float
    precision: Literal["float32", "bfloat16"]
    threads: int
    history: list[dict[str, float]] = field(default_factory=list)


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA when it is there; any other name must be there.

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


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise MalformedError(
            f"the loss became {loss} at step {step}; try a smaller --learning-rate"
        )


class Trainer:
    """Trains one network; ``run`` does the work and ``snapshot`` can be taken after an epoch."""

    def __init__(self, config: Config, task: Task, device: torch.device) -> None:
        self.options: TrainingConfig = config.training
        self.task = task
        self.device = device
        torch.manual_seed(self.options.seed)
        self.network = task.network().to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.options.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=self.options.weight_decay,
        )
        self.steps = self.options.epochs * task.steps_per_epoch
        self.epoch = 0
        self.best = copy.deepcopy(self.network.state_dict())
        self.best_loss, self.best_epoch = math.inf, 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self.precision: Literal["float32", "bfloat16"] | None = None
        self.threads: int | None = None

    def run(self) -> Iterator[Progress]:
        """Train from where it stands to the end, or to the time budget.

        Raises:
            MalformedError: the loss became NaN or infinite.
        """
        threads_before = torch.get_num_threads()
        try:
            if self.precision is None or self.threads is None:
                self.precision, self.threads = self._choose_speed()
            torch.set_num_threads(self.threads)
            yield from self._epochs()
        finally:
            torch.set_num_threads(threads_before)

    def _epochs(self) -> Iterator[Progress]:
        started = time.monotonic() - self.seconds
        while self.epoch < self.options.epochs and not self._out_of_time():
            torch.manual_seed(self.options.seed * 1_000_003 + self.epoch)  # dropout
            self.network.train()
            state, total = self.network.zero_state(0), 0.0
            first = self.epoch * self.task.steps_per_epoch
            step = first
            for step, batch in enumerate(self.task.batches(self.epoch), start=first + 1):
                input, target = batch.input.to(self.device), batch.target.to(self.device)
                if batch.fresh:
                    state = self.network.zero_state(len(input))
                self.seconds = time.monotonic() - started
                loss, state = self._step(step, input, target, state)
                total += loss
                yield Progress(self.epoch, step, self.steps, loss)
            self.epoch += 1
            self.network.eval()
            with torch.no_grad():
                validation_loss = self.task.validation_loss(self.network)
            train_loss = total / (step - first)
            _check_finite(validation_loss, step)
            if validation_loss < self.best_loss:
                self.best = copy.deepcopy(self.network.state_dict())
                self.best_loss, self.best_epoch = validation_loss, self.epoch
            self.history.append({"train_loss": train_loss, "validation_loss": validation_loss})
            self.seconds = time.monotonic() - started
            yield Progress(self.epoch, step, self.steps, train_loss, validation_loss)

    def _step(
        self, step: int, input: Tensor, target: Tensor, state: Tensor
    ) -> tuple[float, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * self._rate(step)
        loss, state = self._forward(self.network, input, target, state)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        self.optimizer.step()
        value = loss.item()
        _check_finite(value, step)
        return value, state.detach()

    def _forward(
        self, network: Network, input: Tensor, target: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            output, state = network(input, state)
        state = state.float()
        loss = self.task.loss(output.float(), target)
        if state.numel():  # a network of whole sequences has none
            loss = loss + self.options.state_penalty * state.square().mean()
        return loss, state

    def _rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine over the steps or the time budget."""
        done = (step - 1) / self.steps
        if self.options.minutes is not None:
            done = max(done, min(1.0, self.seconds / (60 * self.options.minutes)))
        cosine = (1 + math.cos(math.pi * done)) / 2
        warm_up = min(1.0, step / min(_WARM_UP_STEPS, self.steps))
        return warm_up * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)

    def _out_of_time(self) -> bool:
        budget = self.options.minutes
        return budget is not None and self.epoch > 0 and self.seconds >= 60 * budget

    def _choose_speed(self) -> tuple[Literal["float32", "bfloat16"], int]:
        """Precision and threads: what was asked for, else what measures faster.

        Small networks train as fast on one thread as on all, and on a busy machine far faster.
        bfloat16 is for text alone: a forecast needs all 24 bits of float32.
        """
        precisions, threads = _PRECISIONS, sorted({1, torch.get_num_threads()})
        if self.options.precision != "auto":
            precisions = (self.options.precision,)
        elif isinstance(self.network.config, SeriesModel):
            precisions = ("float32",)
        if self.options.threads is not None:
            threads = [self.options.threads]
        choices = [(precision, count) for precision in precisions for count in threads]
        if len(choices) == 1:
            return choices[0]
        batch = next(self.task.batches(0))
        input, target = batch.input.to(self.device), batch.target.to(self.device)
        best, best_seconds = choices[0], math.inf
        for choice in choices:  # the most exact and sparing first
            self.precision, count = choice
            torch.set_num_threads(count)
            seconds = min(self._time_step(input, target) for _ in range(4))
            if seconds * _FASTER < best_seconds:
                best, best_seconds = choice, seconds
        return best

    def _time_step(self, input: Tensor, target: Tensor) -> float:
        """Seconds of one forward and backward pass on a copy that is thrown away."""
        network = copy.deepcopy(self.network).train()
        started = time.perf_counter()
        loss, _ = self._forward(network, input, target, network.zero_state(len(input)))
        loss.backward()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started

    def best_network(self) -> Network:
        """The network with the lowest validation loss so far, on the CPU, ready to use."""
        network = self.task.network()
        network.load_state_dict(self.best)
        return network.eval()

    def snapshot(self) -> Snapshot:
        """Everything that :meth:`restore` needs; take it when ``validation_loss`` was reported."""
        assert self.precision is not None
        assert self.threads is not None
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in values.items()}
        return Snapshot(
            tensors={k: v.detach().cpu().clone() for k, v in tensors.items()},
            epoch=self.epoch,
            best_loss=self.best_loss,
            best_epoch=self.best_epoch,
            seconds=self.seconds,
            precision=self.precision,
            threads=self.threads,
            history=list(self.history),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from ``snapshot``; the end is the same as that of an uninterrupted run.

        Raises:
            MalformedError: the tensors are not those of this network.
        """
        parts: dict[str, dict[str, Any]] = {"network": {}, "best": {}, "optimizer": {}}
        moments: dict[int, dict[str, Tensor]] = {}
        try:
            for name, tensor in snapshot.tensors.items():
                part, key = name.split(".", 1)
                parts[part][key] = tensor
            for key, tensor in parts["optimizer"].items():
                index, kind = key.split(".")
                moments.setdefault(int(index), {})[kind] = tensor
            if len(moments) != len(list(self.network.parameters())):
                raise ValueError("the moments of the optimiser are not those of this network")
            self.network.load_state_dict(parts["best"])
            self.best = copy.deepcopy(self.network.state_dict())
            self.network.load_state_dict(parts["network"])
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        except (RuntimeError, ValueError, KeyError) as error:
            raise MalformedError(
                "the interrupted training does not fit this model; train without --resume"
            ) from error
        self.epoch = snapshot.epoch
        self.precision, self.threads = snapshot.precision, snapshot.threads
        self.best_loss, self.best_epoch = snapshot.best_loss, snapshot.best_epoch
        self.seconds, self.history = snapshot.seconds, list(snapshot.history)
