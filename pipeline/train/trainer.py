"""The training loop: a generator of progress that can be stopped, saved and resumed."""

import copy
import math
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.config import Config, TrainingConfig
from pipeline.errors import MalformedError
from pipeline.model import Network
from pipeline.train.batches import Batch, Task
from pipeline.train.callback import Callback, Progress
from pipeline.train.position import EpochLosses, Position
from pipeline.train.speed import check_precision, choose_speed, on_threads
from pipeline.train.step import TrainingPrecision, make_optimizer, train_step

_WARM_UP_STEPS = 50
_FINAL_RATE = 0.02  # share of the learning rate that the cosine schedule ends with


@dataclass(frozen=True)
class Snapshot:
    """Everything that the rest of a training depends on.

    ``tensors`` holds the current weights (``network.*``), the best ones (``best.*``), the moments
    of the optimiser (``optimizer.*``) and, within an epoch, ``carried.state``.
    """

    tensors: dict[str, Tensor]
    position: Position


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


class Trainer:
    """The training of one network, of which ``callbacks`` are told.

    Whenever :meth:`run` yields, a snapshot can be taken.
    """

    def __init__(
        self,
        config: Config,
        task: Task,
        device: torch.device,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.config, self.callbacks = config, callbacks
        self.options: TrainingConfig = config.training
        self.task = task
        self.device = device
        torch.manual_seed(self.options.seed)
        self.network = task.network().to(device)
        self.optimizer = make_optimizer(self.network, self.options)
        self.steps = self.options.epochs * task.steps_per_epoch
        self.epoch, self.step = 0, 0  # finished epochs, and steps of the present one
        self.state, self.total = self.network.zero_state(0), 0.0  # carried state, sum of losses
        self.best = copy.deepcopy(self.network.state_dict())
        self.best_loss, self.best_epoch = math.inf, 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self.precision: TrainingPrecision | None = None
        self.threads: int | None = None

    def run(self) -> Generator[Progress, None, None]:
        """Train to the last epoch, or to the step at which the time budget is used up.

        That step ends its epoch, which is then validated as usual.

        Raises:
            MalformedError: the loss became NaN or infinite.
            UnavailableError: PyTorch cannot train in the chosen precision on this machine.
        """
        with ExitStack() as stack:
            for callback in self.callbacks:
                callback.begin(self.config, self._steps_done)
                stack.callback(callback.end)
            for progress in stack.enter_context(closing(self._run())):
                for callback in self.callbacks:
                    callback.report(progress)
                yield progress

    def _run(self) -> Generator[Progress, None, None]:
        started = time.monotonic() - self.seconds
        if self.precision is None or self.threads is None:
            self.precision, self.threads = choose_speed(self.network, self.task, self.options)
        else:  # chosen before the interruption, perhaps on another machine
            given = (self.network, self.task, self.options, self.precision, self.threads)
            check_precision(*given)
        with on_threads(self.threads):
            while self.epoch < self.options.epochs and not (self._at_an_end and self._time_is_over):
                self.network.train()
                for batch in self.task.batches(self.epoch, self.step):
                    loss = self._step(batch)
                    self.seconds = time.monotonic() - started
                    yield Progress(self.epoch, self._steps_done, self.steps, loss)
                    if self._time_is_over:
                        break
                progress = self._end_epoch()
                self.seconds = time.monotonic() - started
                yield progress

    @property
    def _at_an_end(self) -> bool:
        return self.epoch > 0 and self.step == 0

    @property
    def _time_is_over(self) -> bool:
        return self.options.minutes is not None and self.seconds >= 60 * self.options.minutes

    @property
    def _steps_done(self) -> int:
        return self.epoch * self.task.steps_per_epoch + self.step

    def _step(self, batch: Batch) -> float:
        assert self.precision is not None
        number = self._steps_done + 1
        if self.network.config.dropout:  # a seed for each step, so that resuming repeats it
            torch.manual_seed(self.options.seed * 1_000_003 + number)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * self._rate(number)
        given = (self.task, self.options, self.precision, batch, self.state)
        loss, self.state = train_step(self.network, self.optimizer, *given)
        self._check_finite(loss, number)
        self.step, self.total = self.step + 1, self.total + loss
        return loss

    def _end_epoch(self) -> Progress:
        """Validate the epoch, keep its weights if they are the best, and add it to the history."""
        self.network.eval()
        with torch.no_grad():
            validation_loss = self.task.validation_loss(self.network)
        steps, train_loss = self._steps_done, self.total / self.step
        self._check_finite(validation_loss, steps)
        self.epoch, self.step, self.total = self.epoch + 1, 0, 0.0
        if validation_loss < self.best_loss:
            self.best = copy.deepcopy(self.network.state_dict())
            self.best_loss, self.best_epoch = validation_loss, self.epoch
        self.history.append({"train_loss": train_loss, "validation_loss": validation_loss})
        return Progress(self.epoch, steps, self.steps, train_loss, validation_loss)

    def _check_finite(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            other = " or --precision float32" if self.precision == "bfloat16" else ""
            raise MalformedError(
                f"the loss became {loss} at step {step}; try a smaller --learning-rate{other}"
            )

    def _rate(self, step: int) -> float:
        """The share of the learning rate: linear warm-up, then half a cosine over the steps or the
        time budget."""
        done = (step - 1) / self.steps
        if self.options.minutes is not None:
            done = max(done, min(1.0, self.seconds / (60 * self.options.minutes)))
        cosine = (1 + math.cos(math.pi * done)) / 2
        warm_up = min(1.0, step / min(_WARM_UP_STEPS, self.steps))
        return warm_up * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)

    def best_network(self) -> Network:
        """The network with the lowest validation loss, on the CPU, in evaluation mode."""
        network = self.task.network()
        network.load_state_dict(self.best)
        return network.eval()

    def snapshot(self) -> Snapshot:
        """The state of the training, for :meth:`restore`; call it when ``run`` has yielded."""
        assert self.precision is not None
        assert self.threads is not None
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in values.items()}
        if self.step:
            tensors["carried.state"] = self.state
        position = Position(
            epoch=self.epoch,
            step=self.step,
            total=self.total,
            best_epoch=self.best_epoch,
            seconds=self.seconds,
            precision=self.precision,
            threads=self.threads,
            history=tuple(EpochLosses(**losses) for losses in self.history),
        )
        return Snapshot({k: _copied(v) for k, v in tensors.items()}, position)

    def restore(self, snapshot: Snapshot) -> None:
        """Continue from ``snapshot``; the result equals that of an uninterrupted run.

        Raises:
            MalformedError: the steps or the tensors do not fit this training.
        """
        if fault := self._fault(snapshot):
            raise MalformedError(
                f"the interrupted training does not fit this model: {fault}; train without --resume"
            )
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "carried": {}}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in snapshot.tensors.items():
            part, key = name.split(".", 1)
            if part == "optimizer":
                index, kind = key.split(".")
                moments.setdefault(int(index), {})[kind] = tensor
            else:
                parts[part][key] = tensor
        self.network.load_state_dict(parts["best"])
        self.best = copy.deepcopy(self.network.state_dict())
        self.network.load_state_dict(parts["network"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.state = parts["carried"].get("state", self.state).to(self.device)
        at = snapshot.position
        self.epoch, self.step, self.total = at.epoch, at.step, at.total
        self.precision, self.threads = at.precision, at.threads
        self.best_loss, self.best_epoch = at.best_loss, at.best_epoch
        self.seconds, self.history = at.seconds, [losses.model_dump() for losses in at.history]

    def _fault(self, snapshot: Snapshot) -> str | None:
        """The reason why ``snapshot`` does not fit this training; None if it fits."""
        step, steps = snapshot.position.step, self.task.steps_per_epoch
        if step > steps:
            return f"it stands at step {step} of an epoch of {steps}"
        expected, found = self._tensors_within(snapshot), snapshot.tensors
        for name in sorted(expected.keys() ^ found.keys()):
            return f"{'lacks' if name in expected else 'has another tensor,'} {name}"
        for name, tensor in found.items():
            if (tensor.shape, tensor.dtype) != (expected[name].shape, expected[name].dtype):
                return f"{name} has another shape or type"
            if not tensor.isfinite().all():
                return f"{name} is not finite"
            if name.endswith(".exp_avg_sq") and (tensor < 0).any():
                return f"{name} is negative, the mean of squares"
            is_count = name.startswith("optimizer.") and name.endswith(".step")
            if is_count and not 1 <= tensor.item() <= self.steps:
                return f"{name} is {tensor.item():.0f}, and there are {self.steps} steps"
        return None

    def _tensors_within(self, snapshot: Snapshot) -> dict[str, Tensor]:
        """Tensors of the names, shapes and types that ``snapshot`` should have."""
        tensors = {
            f"{part}.{name}": tensor
            for part in ("network", "best")
            for name, tensor in self.network.state_dict().items()
        }
        for index, weight in enumerate(self.network.parameters()):
            moments = {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}
            tensors |= {f"optimizer.{index}.{name}": moment for name, moment in moments.items()}
        at = snapshot.position
        if at.step:
            last = next(iter(self.task.batches(at.epoch, at.step - 1)))
            tensors["carried.state"] = self.network.zero_state(len(last.input))
        return tensors
