"""The benchmark of our export against ``torch.onnx.export`` on the same networks, in turns.

Ours ends with checks of the graph and of its numbers, and includes the TorchScript file.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from pipeline.config import PRESETS, Record
from pipeline.data import load
from pipeline.export import export
from pipeline.export.network.onnx_graph import example_inputs
from pipeline.export.quiet import quiet_exporter
from pipeline.network_tensors import BATCH, TIME, NetworkTensors
from pipeline.threads import torch_threads
from pipeline.train.batches import make_task

_ROUNDS = 5


class ExportTime(Record):
    """Seconds of processor time that one export takes."""

    model: str
    pipeline: float
    torch: float

    @property
    def ratio(self) -> float:
        """The time of our export as a share of the time of PyTorch's."""
        return self.pipeline / self.torch


def measure_export(names: Sequence[str], say: Callable[[str], None]) -> Iterator[ExportTime]:
    """Export the presets that are named, untrained, by both sides; ``say`` what is done.

    The first export of each side does not count, since it imports what the others find.
    """
    with torch_threads(0):
        for name in names:
            say(name)
            network = make_task(PRESETS[name], load(PRESETS[name].source)).network().eval()
            inputs = example_inputs(network, batch=2, time=3)
            sides: Sequence[Callable[[], object]] = (
                partial(export, network, name),
                partial(_by_torch, network, inputs, network.tensors),
            )
            taken: list[list[float]] = [[], []]
            for _ in range(1 + _ROUNDS):
                for times, side in zip(taken, sides, strict=True):
                    began = time.process_time()
                    side()
                    times.append(time.process_time() - began)
            ours, theirs = (median(times[1:]) for times in taken)
            yield ExportTime(model=name, pipeline=ours, torch=theirs)


def _by_torch(network: nn.Module, inputs: tuple[Tensor, ...], tensors: NetworkTensors) -> None:
    axes = {axis: torch.export.Dim(axis) for axis in (BATCH, TIME)}
    shapes = tuple(
        {place: axes[axis] for place, axis in enumerate(spec.shape) if axis in axes}
        for spec in tensors.inputs
    )
    with tempfile.TemporaryDirectory() as folder, quiet_exporter():
        torch.onnx.export(
            network,
            inputs,
            Path(folder, "model.onnx"),
            dynamo=True,
            verbose=False,
            dynamic_shapes=shapes,
        )
