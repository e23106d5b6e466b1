"""Packed sequences: ``data`` is PyTorch's, whatever a module computes of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from module_files import close, eager, infer, operators, traced
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from pipeline.export import export_onnx, export_torchscript
from pipeline.validate.foreign import ForeignFile, validate_pair
from pipeline.validate.foreign.pair import PairChoices

AXES = {"x": {0: "batch", 1: "time"}, "lengths": {0: "batch"}}


def changed(packed: PackedSequence, data: Tensor) -> PackedSequence:
    """As most write it, since PyTorch has no method for it."""
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


def normed(net: "Net", packed: PackedSequence) -> PackedSequence:
    return changed(packed, net.norm(packed.data))


def gated(net: "Net", packed: PackedSequence) -> PackedSequence:
    return changed(packed, torch.softmax(net.linear(packed.data), dim=1) * packed.data)


def dropped(net: "Net", packed: PackedSequence) -> PackedSequence:
    return packed._replace(data=net.dropout(packed.data) * 2)


def over_all_steps(net: "Net", packed: PackedSequence) -> PackedSequence:
    weights = torch.softmax(net.score(packed.data), dim=0)  # of all steps of all sequences
    return changed(packed, packed.data * weights * 10 + packed.data.mean(0))


def attended(net: "Net", packed: PackedSequence) -> PackedSequence:
    """Attention over the words of each sequence, as hierarchical networks have it."""
    score = net.score(torch.tanh(net.linear(packed.data))).squeeze(1)
    score = torch.exp(score - score.max())
    padded, _ = pad_packed_sequence(changed(packed, score), batch_first=True)
    weights = padded / padded.sum(1, keepdim=True)
    y, lengths = pad_packed_sequence(packed, batch_first=True)
    return pack_padded_sequence(y * weights[..., None], lengths, True, enforce_sorted=False)


CHANGES: dict[str, Callable[["Net", PackedSequence], PackedSequence]] = {
    "batch norm": normed,
    "softmax": gated,
    "dropout": dropped,
    "over all steps": over_all_steps,
    "attention": attended,
}


class Net(nn.Module):
    """Two recurrent layers, and ``change`` of what is packed between them."""

    def __init__(self, change: Callable[["Net", PackedSequence], PackedSequence]) -> None:
        super().__init__()
        self.change = change
        self.first, self.second = nn.GRU(3, 4, bidirectional=True), nn.LSTM(8, 5)
        self.norm, self.linear, self.score = nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Linear(8, 1)
        self.dropout = nn.Dropout(0.4)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.running_mean)  # type: ignore[arg-type]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, _ = self.first(packed)
        packed = self.change(self, packed)
        y, (h, _) = self.second(packed)
        return pad_packed_sequence(y, batch_first=True, total_length=x.size(1))[0], h


def sample(batch: int, time: int) -> tuple[Tensor, Tensor]:
    lengths = torch.randint(1, time + 1, (batch,))
    lengths[-1] = time
    return torch.randn(batch, time, 3), lengths


@pytest.mark.parametrize("change", CHANGES)
def test_data_of_a_packed_sequence_is_pytorchs(change: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Net(CHANGES[change]).eval()
    inputs = torch.randn(3, 6, 3), torch.tensor([4, 6, 2])
    export_onnx(module, inputs, tmp_path / "m.onnx", dynamic_axes=AXES)
    for sizes in ((1, 6), (5, 9), (2, 3)):
        others = sample(*sizes)
        assert close(infer(tmp_path / "m.onnx", others), eager(module, others))


def test_what_nothing_reads_is_not_packed_in_the_graph(tmp_path: Path) -> None:
    module = Net(lambda net, packed: packed).eval()
    inputs = torch.randn(3, 6, 3), torch.tensor([4, 6, 2])
    export_onnx(module, inputs, tmp_path / "m.onnx", dynamic_axes=AXES)
    assert not {"NonZero", "Compress", "Loop"} & set(operators(tmp_path / "m.onnx"))


class Listed(nn.Module):
    """Lengths as a list of numbers, as the signature of ``pack_padded_sequence`` allows."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.layers = kind, nn.GRU(3, 5, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        numbers: Any = (
            lengths.cpu().tolist() if self.kind == "list" else lengths.detach().cpu().numpy()
        )
        packed = pack_padded_sequence(x, numbers, batch_first=True, enforce_sorted=False)
        h: Tensor = self.layers(packed)[1]
        return h[-1]


@pytest.mark.parametrize("kind", ["list", "numpy"])
def test_lengths_may_be_a_list(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Listed(kind).eval()
    inputs = torch.randn(3, 6, 3), torch.tensor([4, 6, 2])
    export_onnx(module, inputs, tmp_path / "m.onnx", dynamic_axes=AXES)
    export_torchscript(module, inputs, tmp_path / "m.pt", dynamic_axes=AXES)
    for sizes in ((1, 6), (5, 9), (2, 3)):
        others = sample(*sizes)
        assert close(infer(tmp_path / "m.onnx", others), eager(module, others))
        assert close(traced(tmp_path / "m.pt", others), eager(module, others))


class Relative(nn.Module):
    """Lengths are parts of the time axis, as in speech, and a state may be given."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, hx: Any = None, lengths: Tensor | None = None) -> Any:
        if lengths is None:
            return self.rnn(x, hx)[0]
        steps = (lengths * x.size(1)).cpu()
        packed = pack_padded_sequence(x, steps, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed, hx)[0], batch_first=True)[0]


class Counted(Relative):
    """The same with lengths that are numbers of steps, and may be 0."""

    def forward(self, x: Tensor, hx: Any = None, lengths: Tensor | None = None) -> Any:
        assert lengths is not None
        assert lengths.min() >= 0, "a length is at least 0"
        x = x[:, : int(lengths.max())]
        if lengths.max() == 0:
            return torch.zeros(x.size(0), x.size(1), 8)
        at_least_one = lengths.where(lengths > 0, torch.ones_like(lengths))
        y = super().forward(x, hx, at_least_one / x.size(1) + 1e-4)
        mask = torch.arange(x.size(1)) >= lengths[:, None]
        if lengths.min() == 0:
            y = y.masked_fill(mask[..., None], 0.0)
        return y


@pytest.mark.parametrize("kind", [Relative, Counted])
def test_lengths_may_be_parts_of_the_axis_and_files_tell_how_to_draw_them(
    kind: type[Relative], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = kind().eval()

    def some(batch: int, time: int) -> tuple[Tensor, None, Tensor]:
        parts = torch.cat([torch.ones(1), torch.rand(batch - 1) * 0.6 + 0.4])
        lengths = parts if kind is Relative else (parts * time).long()
        return torch.randn(batch, time, 3), None, lengths

    paths = tmp_path / "m.onnx", tmp_path / "m.pt"
    for export, path in zip((export_onnx, export_torchscript), paths, strict=True):
        export(module, some(3, 6), path, dynamic_axes=AXES)
    for batch, time in ((1, 5), (4, 20)):
        inputs = some(batch, time)
        expected = eager(module, inputs)
        assert close(infer(paths[0], inputs), expected)
        assert close(traced(paths[1], inputs), expected)
    files = ForeignFile("TorchScript", paths[1]), ForeignFile("ONNX", paths[0])
    choices = PairChoices(states=("none",))
    (row,) = validate_pair(*files, ("cpu",), choices).rows
    assert (row.status, row.reason) == ("pass", "")
    renamed = PairChoices(states=("none",), shapes=("x=n,9,3",))
    assert validate_pair(*files, ("cpu",), renamed).rows[0].status == "pass"
