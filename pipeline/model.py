"""The network: one pure function (input, state) → (output, next_state), scaling and table inside.

encoder  →  recurrent layers  →  readout  →  head  →  decoder
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.cells import ENTRIES
from pipeline.config import SeriesModel, TextModel
from pipeline.contract.network import StoredNetwork
from pipeline.contract.records import Scaler
from pipeline.errors import MalformedError
from pipeline.network_tensors import UNKNOWN_INDEX, NetworkTensors, network_tensors


class Standardize(nn.Module):
    """Raw units to zero mean and unit deviation: ``(x - mean) / std``."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, time, features]`` in raw units to the same in units of the deviation."""
        return (x - cast(Tensor, self.mean)) / cast(Tensor, self.std)


class Destandardize(Standardize):
    """Back to raw units: ``x * std + mean``."""

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, time, targets]`` in units of the deviation to the same in raw units."""
        return x * cast(Tensor, self.std) + cast(Tensor, self.mean)


class CodePointTable(nn.Module):
    """Code points to vocabulary indices; whatever is outside the vocabulary becomes index 0."""

    def __init__(self, vocabulary: str) -> None:
        super().__init__()
        points = [ord(character) for character in vocabulary]
        # Code point p stands at p + 1, so that both ends are rows of unknowns to clamp to.
        table = torch.full((max(points) + 3, 1), UNKNOWN_INDEX, dtype=torch.int32)
        table[torch.tensor(points) + 1, 0] = torch.arange(1, len(points) + 1, dtype=torch.int32)
        self.register_buffer("index", table, persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """int64 ``[batch, time]`` code points to int32 ``[batch, time]`` indices."""
        table = cast(Tensor, self.index)
        return functional.embedding(points.clamp(-1, table.size(0) - 2) + 1, table).squeeze(-1)


class Recurrent(nn.Module):
    """PyTorch's recurrent layers, their state in one tensor ``[S, batch, hidden]``.

    A projected h has fewer columns than the state; zeros fill its rows. Where there is no state
    (S is 0) every call starts from zeros.
    """

    def __init__(self, config: SeriesModel | TextModel, input_size: int) -> None:
        super().__init__()
        entry = ENTRIES[config.cell]
        options: dict[str, Any] = {option: getattr(config, option) for option in entry.options}
        self.has_c = entry.has_c
        layer: Callable[..., nn.RNNBase] = entry.layer()
        self.layers = layer(
            input_size,
            config.hidden_size,
            config.num_layers,
            bias=config.bias,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
            batch_first=True,
            **options,
        )
        self.h_size = config.h_size
        self.zero: Tensor
        if config.bidirectional:  # zeros that PyTorch makes itself would tie a trace to a device
            self.register_buffer("zero", torch.zeros(1, 1, 1), persistent=False)

    def forward(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """x ``[batch, time, input]`` to ``[batch, time, directions·h]``, and the rows after it."""
        with _quiet_projections() if self.layers.proj_size else nullcontext():
            return self._run(x, rows)

    def _run(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        if rows.size(0) == 0:
            size = 2 * self.layers.num_layers, x.size(0)
            h = self.zero.expand(*size, self.h_size).contiguous()
            c = self.zero.expand(*size, self.layers.hidden_size).contiguous()
            return self.layers(x, (h, c) if self.has_c else h)[0], rows
        if self.has_c:
            h, c = rows.chunk(2)
            h = h[..., : self.layers.proj_size or None]
            x, (h, c) = self.layers(x, (h.contiguous(), c.contiguous()))  # as cuDNN needs them
            return x, torch.cat([pad_columns(h, c.size(2)), c])
        y, next_rows = self.layers(x, rows.contiguous())
        return y, next_rows


@contextmanager
def _quiet_projections() -> Iterator[None]:
    """Without the warning that a faster kernel has no projections; it changes no number."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\w+ with projections is not supported with oneDNN")
        yield


def pad_columns(h: Tensor, width: int) -> Tensor:
    """``h`` with zeros behind its columns, up to ``width`` of them."""
    missing = width - h.size(-1)
    return functional.pad(h, (0, missing)) if missing else h


class Readout(nn.Module):
    """What the head reads of the recurrent layers, whose two directions lie side by side."""

    def __init__(self, config: SeriesModel | TextModel) -> None:
        super().__init__()
        self.kind, self.h_size = config.readout, config.h_size

    def forward(self, y: Tensor) -> Tensor:
        """``[batch, time, directions·h]`` to the same, or to ``[batch, 1, directions·h]``."""
        if self.kind == "each":
            return y
        if self.kind == "last":
            return y[:, -1:]
        return torch.cat([y[:, -1:, : self.h_size], y[:, :1, self.h_size :]], dim=2)


class Network(nn.Module):
    """A recurrent network that carries its own pre- and post-processing.

    Series models need a ``scaler``, text models a ``vocabulary`` (its first character has
    index 1; index 0 is the unknown entry).

    Raises:
        MalformedError: the scaler or vocabulary does not fit the configuration.
    """

    def __init__(
        self,
        config: SeriesModel | TextModel,
        *,
        scaler: Scaler | None = None,
        vocabulary: str | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.scaler = scaler
        self.vocabulary = vocabulary
        self.encoder: nn.Module
        self.decoder: nn.Module
        if isinstance(config, TextModel):
            if not vocabulary or len(set(vocabulary)) != len(vocabulary) or scaler:
                raise MalformedError("a text model needs a vocabulary of distinct characters")
            width, targets = config.embedding_size, len(vocabulary) + 1
            self.encoder = nn.Sequential(CodePointTable(vocabulary), nn.Embedding(targets, width))
            self.decoder = nn.Identity()
        else:
            if not scaler or len(scaler.input_mean) != config.features or vocabulary:
                raise MalformedError("a series model needs a scaler with one mean per feature")
            width, targets = config.features, config.targets
            self.encoder = Standardize(scaler.input_mean, scaler.input_std)
            self.decoder = Destandardize(scaler.output_mean, scaler.output_std)
        self.recurrent = Recurrent(config, width)
        self.readout = Readout(config)
        self.head = nn.Linear(config.h_size * (2 if config.bidirectional else 1), targets)

    @property
    def tensors(self) -> NetworkTensors:
        """Names, types and shapes of the tensors."""
        return network_tensors(self.config, len(self.vocabulary or ""))

    def zero_state(self, batch: int) -> Tensor:
        """The state that starts ``batch`` streams, ``[batch, S, hidden]``.

        S is 0 for a network that reads whole sequences.
        """
        rows = len(self.tensors.state_rows)
        return self.head.weight.new_zeros(batch, rows, self.config.hidden_size)

    def forward(self, input: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One call of the contract; shapes as in :attr:`tensors`."""
        x, rows = self.recurrent(self.encoder(input), state.transpose(0, 1))
        return self.decoder(self.head(self.readout(x))), rows.transpose(0, 1)

    def next_output(self, state: Tensor) -> Tensor:
        """``[batch, 1, …]``, what ``state`` says comes next; for a network that carries a state."""
        last = self.config.num_layers - 1
        h = state[:, last : last + 1, : self.config.h_size]
        return cast(Tensor, self.decoder(self.head(h)))

    def exported(self) -> nn.Module:
        """What goes into files: this network, or input → output of one that has no state."""
        return self if self.tensors.has_state else WholeSequences(self)

    def stored(self) -> StoredNetwork:
        """The network as a bundle holds it."""
        weights = {name: weight.numpy() for name, weight in self.state_dict().items()}
        return StoredNetwork(self.config, weights, self.scaler, self.vocabulary)

    def twin(self, dtype: torch.dtype) -> "Network":
        """The same network computed in ``dtype``, ready to use.

        All results are measured against that in float64.
        """
        return copy.deepcopy(self).to(dtype).eval()


class WholeSequences(nn.Module):
    """A network without a state, as it is exported."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, input: Tensor) -> Tensor:
        """One call of the contract: input → output."""
        output, _ = self.network(input, self.network.zero_state(input.size(0)))
        return cast(Tensor, output)
