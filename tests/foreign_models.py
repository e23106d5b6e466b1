"""Recurrent models as others write and export them, for tests of foreign pairs."""

import io
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, numpy_helper, parser
from torch import Tensor, nn

from pipeline.validate import Validation
from pipeline.validate.foreign import ForeignFile, PairChoices, validate_pair


class TimeFirst(nn.Module):
    """An LSTM with h and c apart and time first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(3, 4, num_layers=2)

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (hn, cn) = self.layer(x, (h0, c0))
        return y, hn, cn


class InTuples(TimeFirst):
    """The same with h and c in one tuple, as PyTorch has it, and the result in a dict."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]
        y, (hn, cn) = self.layer(x, state)
        return {"y": y, "hn": hn, "cn": cn}


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, state = self.layer(x, state)
        return y, state


class Stream(nn.Module):
    """Fixed frames, a sample rate that is a plain int, and h and c stacked in one state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(8, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, input: Tensor, state: Tensor, sr: int) -> tuple[Tensor, Tensor]:
        if sr != 16000:
            raise ValueError("sr")
        h, c = self.cell(input, (state[0], state[1]))
        return torch.sigmoid(self.head(h)), torch.stack([h, c])


LSTM_AXES = {
    "x": {0: "time", 1: "batch"},
    "h0": {1: "batch"},
    "c0": {1: "batch"},
    "y": {0: "time", 1: "batch"},
    "hn": {1: "batch"},
    "cn": {1: "batch"},
}
GRU_AXES = {"x": {0: "batch", 1: "time"}, "state": {1: "batch"}}


def quietly(build: Callable[[], Any]) -> Any:
    """What ``build`` gives, without the deprecations of what others still use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build()


def seeded(kind: type[nn.Module]) -> Any:
    torch.manual_seed(0)
    return kind().eval()


def to_onnx(
    module: nn.Module,
    given: Sequence[Tensor],
    names: tuple[list[str], list[str]],
    axes: dict[str, dict[int, str]],
) -> ModelProto:
    file = io.BytesIO()
    quietly(
        lambda: torch.onnx.export(
            module,
            tuple(given),
            file,  # type: ignore[arg-type]  # this exporter takes a buffer too
            dynamo=False,
            opset_version=17,
            input_names=names[0],
            output_names=names[1],
            dynamic_axes=axes,
        )
    )
    return onnx.load_from_string(file.getvalue())


def write(path: Path, model: ModelProto) -> ForeignFile:
    path.write_bytes(model.SerializeToString())
    return ForeignFile("ONNX", path)


def scripted(path: Path, module: nn.Module) -> ForeignFile:
    quietly(lambda: torch.jit.save(torch.jit.script(module), path))
    return ForeignFile("TorchScript", path)


def traced(path: Path, module: nn.Module, given: tuple[Any, ...]) -> ForeignFile:
    quietly(lambda: torch.jit.save(torch.jit.trace(module, given, strict=False), path))
    return ForeignFile("TorchScript", path)


def graph(text: str, **constants: np.ndarray[Any, Any]) -> ModelProto:
    """A graph in ONNX's own text, with opset 17."""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    return model


SUM = "(float[batch, 2] x, float[batch, 2] state) => (float[batch, 2] y, float[batch, 2] stateN)"


def running_sum(step: str = "stateN = Add(x, state)") -> ModelProto:
    return graph(f"sum {SUM} {{ {step} y = Tanh(stateN) }}")


CPU = ("cpu",)


def only_row(validation: Validation) -> Any:
    (row,) = validation.rows
    json.dumps(validation.model_dump(mode="json"), allow_nan=False)
    return row


def compare(first: ForeignFile, second: ForeignFile, **choices: Any) -> Any:
    return only_row(validate_pair(first, second, CPU, PairChoices(**choices)))


def lstm_file() -> ModelProto:
    given = (torch.zeros(5, 2, 3), torch.zeros(2, 2, 4), torch.zeros(2, 2, 4))
    return to_onnx(seeded(TimeFirst), given, (["x", "h0", "c0"], ["y", "hn", "cn"]), LSTM_AXES)


def gru_file() -> ModelProto:
    given = (torch.zeros(2, 5, 3), torch.zeros(1, 2, 4))
    return to_onnx(seeded(Gru), given, (["x", "state"], ["y", "next_state"]), GRU_AXES)
