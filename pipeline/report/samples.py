"""What exported models do when they run free: a forecast, or a text. ONNX Runtime runs them."""

from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import Bundle
from pipeline.bundle.write import ONNX_FILE
from pipeline.runtimes.base import State
from pipeline.runtimes.onnx_runtime import OnnxRuntime

_HISTORY = 100  # steps of a series that are read before the forecast begins
_PROMPT = 120  # characters of a text that are read before the model goes on
_WRITTEN = 240  # characters that it then writes


@dataclass(frozen=True)
class TextSample:
    """How a model goes on after ``prompt``, and how the text itself does."""

    prompt: str
    written: str
    truth: str

    @property
    def agreeing(self) -> int:
        """How many characters are right before the first that is not."""
        pairs = zip(self.written, self.truth, strict=True)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def free_run(bundle: Bundle, steps: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The truth ``[history + steps]`` and the forecast ``[steps]`` of the first target."""
    truth = bundle.held_out()[: _HISTORY + steps].astype(np.float32)
    steps = min(steps, len(truth) // 2)  # a short series has a short test part
    runtime, state = _open_stream(bundle)
    output, state = runtime.run(truth[None, : len(truth) - steps], state)
    forecast = [output[:, -1:]]
    for _ in range(steps - 1):
        output, state = runtime.run(forecast[-1], state)
        forecast.append(output)
    return truth[:, 0], np.concatenate(forecast, axis=1)[0, :, 0]


def continue_text(bundle: Bundle) -> TextSample:
    """What the model writes after the beginning of its held-out text, always the likeliest."""
    vocabulary = bundle.manifest.vocabulary
    assert vocabulary is not None
    points = bundle.held_out().astype(np.int64)
    text = "".join(map(chr, points.tolist()))
    begin = min(_PROMPT, len(text) // 2)
    truth = text[begin : begin + _WRITTEN]
    runtime, state = _open_stream(bundle)
    given, written = points[None, :begin], ""
    for _ in truth:
        output, state = runtime.run(given, state)
        written += vocabulary[int(output[0, -1, 1:].argmax())]  # 0 is the unknown entry
        given = np.array([[ord(written[-1])]])
    return TextSample(text[:begin], written, truth)


def _open_stream(bundle: Bundle) -> tuple[OnnxRuntime, State]:
    """The model on the CPU, and the state that starts one stream."""
    rows = [axis for axis in bundle.manifest.state.shape if isinstance(axis, int)]
    return OnnxRuntime(bundle.read(ONNX_FILE), "cpu"), np.zeros((1, *rows), np.float32)
