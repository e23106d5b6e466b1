"""An export leaves no trace in the process, whatever was traced before it."""

import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from module_files import close, eager, traced
from torch import Tensor, nn
from torch.fx.experimental import _config as symbols

from pipeline.errors import PipelineError
from pipeline.export import export_onnx, export_torchscript
from pipeline.export.quiet import quiet_exporter

AXES = {"x": {0: "batch", 1: "time"}}


class Net(nn.Module):
    """A recurrent layer between two of the same class."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)
        self.before = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.layers(self.before(x))[0])
        return y


class Branches(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


def another_trace() -> torch.jit.ScriptModule:
    with quiet_exporter():
        found: torch.jit.ScriptModule = torch.jit.trace(Net().eval(), torch.randn(2, 4, 3))
    return found


def test_traced_modules_of_the_process_go_on_working(tmp_path: Path) -> None:
    x = torch.randn(2, 4, 3)
    module, path = Net().eval(), tmp_path / "m.pt"
    before = another_trace()
    expected = eager(before, [x])
    export_torchscript(module, x, path, dynamic_axes=AXES)
    after = another_trace()
    assert close(eager(before, [x]), expected)
    for each in (before, after):
        buffer = io.BytesIO()
        with quiet_exporter():
            torch.jit.save(each, buffer)
        again = traced_of(buffer.getvalue())
        assert close(eager(again, [x]), eager(each, [x]))
    assert close(traced(path, [x]), eager(module, [x]))


def traced_of(file: bytes) -> torch.jit.ScriptModule:
    with quiet_exporter():
        found: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(file))
    return found


def test_a_torchscript_file_has_the_same_bytes_whatever_was_traced_before(tmp_path: Path) -> None:
    module, x, files = Net(), torch.randn(2, 4, 3), []
    for name in ("first.pt", "second.pt"):
        export_torchscript(module, x, tmp_path / name, dynamic_axes=AXES)
        files.append((tmp_path / name).read_bytes())
        another_trace()
    assert files[0] == files[1]


def settings() -> list[object]:
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "torch.fx")]
    return [
        list(warnings.filters),
        warnings.showwarning,
        sys.stdout,
        sys.stderr,
        [(logger.level, list(logger.filters)) for logger in loggers],
        symbols.backed_size_oblivious,
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch._C._len_torch_function_stack(),
        sys.getrecursionlimit(),
    ]


EXPORTS: dict[str, Callable[[nn.Module, Path], None]] = {
    "onnx": lambda module, path: export_onnx(module, torch.randn(2, 4, 3), path, dynamic_axes=AXES),
    "torchscript": lambda module, path: export_torchscript(
        module, torch.randn(2, 4, 3), path, dynamic_axes=AXES
    ),
}


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("module", [Net, Branches])
def test_settings_of_the_process_are_left_as_they_were(
    kind: str, module: type[Net], tmp_path: Path
) -> None:
    made = module()
    state = torch.get_rng_state()
    before = settings()
    try:
        with torch.random.fork_rng():
            EXPORTS[kind](made, tmp_path / "m")
    except PipelineError:
        assert module is Branches
    assert torch.equal(torch.get_rng_state(), state)
    assert settings() == before


def test_other_threads_keep_their_warnings_and_streams(
    capsys: pytest.CaptureFixture[str],
) -> None:
    heard: list[str] = []

    def elsewhere() -> None:
        try:
            warnings.warn("of another thread", stacklevel=1)
        except UserWarning as warning:
            heard.append(str(warning))
        print("written elsewhere", file=sys.stderr)

    with quiet_exporter():
        warnings.warn("of this thread", stacklevel=1)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert heard == ["of another thread"]
    assert capsys.readouterr().err == "written elsewhere\n"


def test_exports_that_overlap_leave_the_filters_of_the_process() -> None:
    before = list(warnings.filters)
    first, second = quiet_exporter(), quiet_exporter()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert list(warnings.filters) == before


def test_what_the_optimizer_of_graphs_logs_is_kept_from_the_user(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Largest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.randn(5))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weights.topk(2)[0].sum()

    export_onnx(Largest(), torch.randn(2, 3), tmp_path / "m.onnx")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
