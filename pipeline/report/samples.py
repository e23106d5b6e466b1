"""Free-running forecasts and texts of exported models, run by ONNX Runtime."""

from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import Bundle
from pipeline.contract.files import ONNX_FILE
from pipeline.runtimes.base import Input, State
from pipeline.runtimes.chain import free_run
from pipeline.runtimes.onnx_runtime import OnnxRuntime, graph_errors

_HISTORY = 100  # steps of a series that are read before the forecast
_PROMPT = 120  # characters of a text that are read before the model continues it
_WRITTEN = 240  # characters that the model then writes


@dataclass(frozen=True)
class TextSample:
    """A model's continuation of ``prompt``, and the true one."""

    prompt: str
    written: str
    truth: str

    @property
    def agreeing(self) -> int:
        """The number of correct characters before the first wrong one."""
        pairs = zip(self.written, self.truth, strict=True)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def continue_series(bundle: Bundle, steps: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The truth ``[history + steps]`` and the forecast ``[steps]`` of the first target.

    The model must forecast all columns that it reads.

    Raises:
        MalformedError: the graph cannot be run.
    """
    truth = bundle.task_data()[: _HISTORY + steps].astype(np.float32)
    steps = min(steps, len(truth) // 2)  # a short series has a short test part
    with graph_errors(bundle.folder / ONNX_FILE):
        made = free_run(*_open_stream(bundle, truth[: len(truth) - steps]), steps, None)
        return truth[:, 0], made[:, 0]


def continue_text(bundle: Bundle) -> TextSample:
    """The likeliest continuation of the beginning of the held-out text, by the model.

    Raises:
        MalformedError: the graph cannot be run.
    """
    vocabulary = bundle.manifest.vocabulary
    assert vocabulary is not None
    points = bundle.task_data().astype(np.int64)
    text = "".join(map(chr, points.tolist()))
    begin = min(_PROMPT, len(text) // 2)
    truth = text[begin : begin + _WRITTEN]
    with graph_errors(bundle.folder / ONNX_FILE):
        made = free_run(*_open_stream(bundle, points[:begin]), len(truth), vocabulary)
    return TextSample(text[:begin], "".join(map(chr, made)), truth)


def _open_stream(bundle: Bundle, given: Input) -> tuple[OnnxRuntime, Input, State]:
    """The model on the CPU, ``given`` ``[time, …]`` as a batch of one, and its initial state."""
    manifest = bundle.manifest
    runtime = OnnxRuntime(bundle.read(ONNX_FILE), "cpu")
    if manifest.window:  # whole sequences, as long as those that training read
        given = given[-manifest.window :]
    initial = next(iter(bundle.initial_states().values()), np.zeros((1, 0, 1), np.float32))
    return runtime, given[None], initial
