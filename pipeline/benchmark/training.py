"""The benchmark of training against a plain loop of PyTorch, step by step in turns.

The plain loop is what tutorials show: an embedding, a layer of ``torch.nn``, a linear head, Adam
and a loss of ``torch.nn``, all in float32. It is given batches of the same sizes, ready for its
layers. Both sides run on one thread, and what counts is that thread's processor time, without what
other work on the machine takes. Validation counts for neither side.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import cycle, islice
from statistics import median

import torch
from torch import Tensor, nn

from pipeline.cells import ENTRIES
from pipeline.config import PRESETS, Config, Record, TextModel, override
from pipeline.data import Series, Text, load
from pipeline.train.batches import TextTask, make_task
from pipeline.train.callback import Progress
from pipeline.train.step import TrainingPrecision
from pipeline.train.trainer import Trainer

_WARM_UP = 3  # steps of each side before those that count
_LEAST = 10  # steps of each side that count in any case
_TURN = 10  # steps of one side in a row, since the other one's leave the caches cold
_BATCHES = 8  # batches that the plain loop takes in turn

_LARGER = "char-lstm-256x2"
CONFIGS: dict[str, Config] = {
    **PRESETS,
    _LARGER: override(PRESETS["char-lstm"], {"name": _LARGER, "hidden_size": 256, "num_layers": 2}),
}


class TrainingSpeed(Record):
    """Characters of a text, or steps of a series, learned in a second of processor time."""

    model: str
    precision: TrainingPrecision
    pipeline: float
    plain: float

    @property
    def ratio(self) -> float:
        """The speed of the pipeline as a multiple of the plain loop's."""
        return self.pipeline / self.plain


def measure_training(
    names: Sequence[str], seconds: float, say: Callable[[str], None]
) -> Iterator[TrainingSpeed]:
    """Measure the training of each of ``CONFIGS`` that is named; ``say`` what is done.

    Both sides take steps in turns for about ``seconds``: in float32 and, for a text, once more in
    the precision that a training chooses, where that is another.
    """
    for name in names:
        config = CONFIGS[name]
        data = load(config.source)
        for precision in ("float32",) if isinstance(data, Series) else ("float32", "auto"):
            say(f"{name}, precision {precision}")
            found = _measure(
                override(config, {"precision": precision, "threads": 1}), data, seconds
            )
            if precision != "auto" or found.precision != "float32":
                yield found


def _measure(config: Config, data: Series | Text, seconds: float) -> TrainingSpeed:
    trainer = Trainer(config, make_task(config, data), torch.device("cpu"))
    plain = plain_loop(config, trainer)
    with closing(trainer.run()) as run:
        sides: Sequence[Iterator[float | Progress]] = (run, plain)
        taken: list[list[float]] = [[], []]
        end = time.perf_counter() + seconds
        while len(taken[1]) < _WARM_UP + _LEAST or time.perf_counter() < end:
            for times, side in zip(taken, sides, strict=True):
                times += [_step(side) for _ in range(_TURN)]
    assert trainer.precision is not None
    learned = config.training.batch_size * config.training.window
    ours, theirs = (learned / median(times[_WARM_UP:]) for times in taken)
    return TrainingSpeed(
        model=config.name, precision=trainer.precision, pipeline=ours, plain=theirs
    )


def _step(side: Iterator[float | Progress]) -> float:
    """The processor time that the next step takes, in seconds."""
    while True:
        began = time.process_time()
        done = next(side)
        taken = time.process_time() - began
        if not (isinstance(done, Progress) and done.validation_loss is not None):
            return taken


class _Plain(nn.Module):
    """A network as tutorials write it, of the sizes of the trainer's."""

    def __init__(self, config: Config, inputs: int, outputs: int) -> None:
        super().__init__()
        model = config.model
        is_text = isinstance(model, TextModel)
        self.embedding = nn.Embedding(outputs, inputs) if is_text else nn.Identity()
        layer: Callable[..., nn.RNNBase] = ENTRIES[model.cell].layer()
        self.layers = layer(inputs, model.hidden_size, model.num_layers, batch_first=True)
        self.head = nn.Linear(model.hidden_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Text indices ``[batch, time]``, or values ``[batch, time, features]``, to outputs."""
        y, _ = self.layers(self.embedding(x))
        output: Tensor = self.head(y)
        return output


def plain_loop(config: Config, trainer: Trainer) -> Iterator[float]:
    """Train a plain network on the first batches of ``trainer``; yield the loss of each step."""
    network, task = trainer.network, trainer.task
    model = _Plain(config, network.recurrent.layers.input_size, network.head.out_features)
    optimizer = torch.optim.Adam(model.parameters(), lr=trainer.options.learning_rate)
    criterion = nn.CrossEntropyLoss() if isinstance(task, TextTask) else nn.MSELoss()
    ready = []
    for batch in islice(task.batches(0), _BATCHES):
        if isinstance(task, TextTask):
            ready.append((task.table(batch.input).long(), task.table(batch.target).long()))
        else:
            ready.append((network.encoder(batch.input), network.encoder(batch.target)))
    for input, target in cycle(ready):
        optimizer.zero_grad()
        output = model(input)
        if isinstance(task, TextTask):
            output, target = output.flatten(0, 1), target.flatten()
        loss = criterion(output, target)
        loss.backward()
        optimizer.step()
        yield loss.item()
