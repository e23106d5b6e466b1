"""The batches of an epoch: input, target, and whether the state of the last batch is kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.config import Config, SeriesModel, TextModel
from pipeline.contract.records import Scaler
from pipeline.data import Series, Text
from pipeline.errors import MalformedError
from pipeline.model import CodePointTable, Network
from pipeline.train.ahead import one_step, streamed, stretches
from pipeline.train.windows import Windows, after_windows

_LOSS_WARM_UP = 4  # steps of a series window that only fill the state
_WINDOWS = 2**13  # most windows of the validation part of a text, to bound the time


@dataclass(frozen=True)
class Batch:
    """A batch: ``input`` is ``[batch, time, …]``; ``target`` is the same, or ``[batch, 1, …]`` for
    networks of whole sequences. A ``fresh`` batch starts from a state of zeros."""

    input: Tensor
    target: Tensor
    fresh: bool


class Task(Protocol):
    """A task: the batches and the losses of one data set, as the trainer uses them."""

    steps_per_epoch: int

    def network(self) -> Network:
        """A new network for this data, with random weights."""

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number ``first``; equal epochs and seeds give the same."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The training loss of one batch, a scalar."""

    def validation_loss(self, network: Network) -> float:
        """The loss on the validation part; the weights with the lowest one are kept."""


class SeriesTask:
    """One-step forecasts on windows in random order, with the mean squared error as loss."""

    def __init__(self, config: Config, data: Series) -> None:
        assert isinstance(config.model, SeriesModel)
        self.model = config.model
        self.scaler = _scaler(data)
        self.targets = data.targets
        self.values = torch.from_numpy(data.values)
        self.train_end, self.validation_end = data.train_end, data.validation_end
        self.window = min(config.training.window, data.train_end - 1)
        self.windows = Windows(
            data.train_end, self.window, config.training.batch_size, config.training.seed
        )
        self.steps_per_epoch = self.windows.batches

    def network(self) -> Network:
        """A new network whose scaler fits the training part."""
        return Network(self.model, scaler=self.scaler)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Every window once, from batch ``first`` on."""
        for places in self.windows.places(epoch, first):
            rows = self.values[places]
            yield Batch(rows[:, :-1], rows[:, 1:, : self.targets], fresh=True)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean squared error in units of the deviation, after a few steps of warm-up."""
        warm_up = min(_LOSS_WARM_UP, output.size(1) - 1)
        return self._errors(output, target)[:, warm_up:].square().mean()

    def _errors(self, output: Tensor, target: Tensor) -> Tensor:
        std = torch.tensor(self.scaler.output_std, dtype=output.dtype, device=output.device)
        return (output - target) / std

    def validation_loss(self, network: Network) -> float:
        """Mean squared error one step ahead, over the validation part or a sample of it."""
        values = self.values[: self.validation_end]
        parts = one_step(network, values, self.train_end, self.window)
        places, output = (torch.cat(part) for part in zip(*parts, strict=True))
        target = values[places, : self.targets].to(output.device)
        return float(self._errors(output, target).square().mean())


class WholeSeriesTask(SeriesTask):
    """The series task of networks of whole sequences: the target is the one step after a window."""

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Every window once, from batch ``first`` on."""
        for batch in super().batches(epoch, first):
            yield Batch(batch.input, batch.target[:, -1:], fresh=True)


def _scaler(data: Series) -> Scaler:
    """The scaler fitted to the training part; its output part covers the targets only."""
    scaler, targets = Scaler.fit(data.train), data.targets
    return scaler.model_copy(
        update={
            "output_mean": scaler.output_mean[:targets],
            "output_std": scaler.output_std[:targets],
        }
    )


class TextTask:
    """Text cut into parallel streams, which are read in order while the state is kept."""

    def __init__(self, config: Config, data: Text) -> None:
        assert isinstance(config.model, TextModel)
        self.model = config.model
        self.vocabulary = data.vocabulary
        self.window = config.training.window
        points = torch.from_numpy(data.points)
        points, self.validation = points[: data.train_length], points[data.train_length :]
        streams = min(config.training.batch_size, (len(points) - 1) // self.window)
        if streams < 1 or len(self.validation) < 2:
            raise MalformedError(
                f"the text has {len(data.content)} characters, too few for one window of "
                f"{self.window}; give more text or a smaller --window"
            )
        length = (len(points) - 1) // streams
        self.input = points[: streams * length].view(streams, length)
        self.target = points[1 : streams * length + 1].view(streams, length)
        self.steps_per_epoch = length // self.window
        self.table = CodePointTable(data.vocabulary)
        self.label_smoothing = config.training.label_smoothing

    def network(self) -> Network:
        """A new network whose vocabulary is that of the training part."""
        return Network(self.model, vocabulary=self.vocabulary)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Consecutive windows from number ``first``; each epoch begins at another place."""
        shift = epoch * 17 % (self.input.size(1) % self.window + 1)
        for step in range(first, self.steps_per_epoch):
            part = slice(shift + step * self.window, shift + (step + 1) * self.window)
            input, target = self.input[:, part].long(), self.target[:, part].long()
            yield Batch(input, target, fresh=step == 0)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy in nats, with the label smoothing of the configuration."""
        return self._cross_entropy(output, target, self.label_smoothing)

    def _cross_entropy(self, output: Tensor, target: Tensor, smoothing: float) -> Tensor:
        indices = self.table.to(target.device)(target).long().flatten()
        logits = output.float().flatten(0, 1)
        return functional.cross_entropy(logits, indices, label_smoothing=smoothing)

    def validation_loss(self, network: Network) -> float:
        """Cross-entropy in nats over the validation part, or over a sample of a long one.

        It is read as 16 parallel streams from a state of zeros.
        """
        chosen = stretches(1, len(self.validation), lead=1)
        loss, done = 0.0, 0
        for output, _ in streamed(network, self.validation, chosen):
            places = chosen.places[:, done : done + output.size(1)]
            target = self.validation[places].to(output.device)
            part = float(self._cross_entropy(output, target, smoothing=0.0))
            loss += part * (output.size(1) / chosen.size)
            done += output.size(1)
        return loss


class WholeTextTask(TextTask):
    """The text task of networks of whole sequences: windows in random order, and the character
    after each as target."""

    def __init__(self, config: Config, data: Text) -> None:
        super().__init__(config, data)
        options = config.training
        self.points = torch.from_numpy(data.points)
        self.train_end = data.train_length
        self.windows = Windows(self.train_end, self.window, options.batch_size, options.seed)
        self.steps_per_epoch = self.windows.batches

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Every window once, from batch ``first`` on."""
        for places in self.windows.places(epoch, first):
            points = self.points[places].long()
            yield Batch(points[:, :-1], points[:, -1:], fresh=True)

    def validation_loss(self, network: Network) -> float:
        """Cross-entropy in nats of up to 8,192 characters, evenly spread over the validation part.

        Each is predicted from the window before it.
        """
        stride = max(self.windows.stride, -(-len(self.validation) // _WINDOWS))
        parts = after_windows(network, self.points, self.window, self.train_end, stride)
        output = torch.cat([*parts])
        target = self.points[self.train_end :: stride].to(output.device)
        return float(self._cross_entropy(output[:, None], target[:, None], smoothing=0.0))


def make_task(config: Config, data: Series | Text) -> SeriesTask | TextTask:
    """The task of ``config`` on ``data``.

    Raises:
        MalformedError: the data is too short for one window.
    """
    whole = config.model.bidirectional
    if isinstance(data, Text):
        return (WholeTextTask if whole else TextTask)(config, data)
    return (WholeSeriesTask if whole else SeriesTask)(config, data)
