"""The network that understood weights belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from pipeline.cells import ENTRIES, with_option
from pipeline.checkpoint import put_weights
from pipeline.config import Nonlinearity, Readout, SeriesModel, TextModel
from pipeline.contract.held_out import HeldOut
from pipeline.contract.records import Scaler
from pipeline.errors import MalformedError, UsageError
from pipeline.importer.architecture import Architecture, Stack, bias_of, weight_of
from pipeline.importer.vocabulary import read_vocabulary
from pipeline.model import Network

Pairs = tuple[tuple[float, float], ...]  # mean and deviation of each column

# Logit of the unknown entry where the model of others has none: e to this power is 0 in float32.
_NEVER = -1e4
_HELD_OUT = 2000  # steps of made-up input
_SEED = 20_240_304


@dataclass(frozen=True)
class ImportSettings:
    """What no weight says; None and empty where it was not said."""

    task: Literal["series", "text"] | None = None
    nonlinearity: Nonlinearity | None = None
    readout: Readout | None = None
    one_hot: bool = False
    vocabulary: str | None = None
    scaler: Pairs = ()
    output_scaler: Pairs = ()
    non_finite: bool = False


def build_network(
    path: Path, tensors: Mapping[str, Tensor], architecture: Architecture, settings: ImportSettings
) -> Network:
    """The network that gives what the module gave whose weights ``tensors`` are.

    Raises:
        UsageError: a choice is missing or means nothing for these weights.
        MalformedError: weights are not finite or no floats, or the sizes fit no task.
        StorageError: the vocabulary cannot be read.
    """
    is_text = _is_text(path, architecture, settings)
    options = _options(path, architecture, settings)
    floats = _floats(path, tensors, architecture, settings.non_finite)
    weights = _recurrent_weights(floats, architecture.stack)
    weights["head.weight"] = head = floats[weight_of(architecture.head)]
    weights["head.bias"] = floats.get(bias_of(architecture.head), head.new_zeros(len(head)))
    try:
        if is_text:
            network = _text_network(path, architecture, settings, options, floats, weights)
        else:
            network = _series_network(architecture, settings, options)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise MalformedError(f"{path}: {place} {first['input']!r}: {first['msg']}") from error
    return put_weights(network, weights, path, settings.non_finite)


def made_up_input(network: Network) -> HeldOut:
    """Inputs to prove an imported network with, as it comes without data: seeded.

    Values are waves and noise of the scaler's mean and deviation; text is characters by chance.
    """
    rng = np.random.default_rng(_SEED)
    if network.vocabulary is not None:
        return "".join(rng.choice(list(network.vocabulary), _HELD_OUT))
    assert network.scaler is not None
    mean, std = np.array(network.scaler.input_mean), np.array(network.scaler.input_std)
    periods = 20 + 7 * np.arange(len(mean))
    waves = np.sin(2 * np.pi * np.arange(_HELD_OUT)[:, None] / periods)
    values = mean + std * (waves + rng.normal(scale=0.3, size=waves.shape))
    return tuple(tuple(map(float, row)) for row in values.astype(np.float32))


def _is_text(path: Path, architecture: Architecture, settings: ImportSettings) -> bool:
    """Whether the weights are of a text model; where only the user knows, he is asked."""
    columns, outputs = architecture.stack.input_size, architecture.outputs
    for_text = [
        flag
        for flag, given in (
            ("--one-hot", settings.one_hot),
            ("--vocabulary", settings.vocabulary is not None),
            ("--task text", settings.task == "text"),
        )
        if given
    ]
    for_series = [
        flag
        for flag, given in (
            ("--scaler", settings.scaler or settings.output_scaler),
            ("--task series", settings.task == "series"),
        )
        if given
    ]
    if for_text and for_series:
        raise UsageError(f"{for_text[0]} and {for_series[0]} exclude each other; give one of them")
    if architecture.embedding is not None:
        if for_series or settings.one_hot:
            raise UsageError(
                f"{path} has an embedding '{architecture.embedding}', so it reads text by index; "
                f"leave {(*for_series, '--one-hot')[0]} out"
            )
        return True
    if for_text or for_series:
        return bool(for_text)
    if columns == outputs > 1:
        raise UsageError(
            f"{path} reads {columns} columns and gives {outputs}: if they are characters, give "
            f"--one-hot --vocabulary with {columns} of them; if they are numbers, --task series"
        )
    return False


def _options(path: Path, architecture: Architecture, settings: ImportSettings) -> dict[str, Any]:
    stack = architecture.stack
    if settings.nonlinearity and not ENTRIES[stack.cell].has_nonlinearity:
        owners = with_option("nonlinearity")
        raise UsageError(f"--nonlinearity is for the cell {owners}, and {path} has {stack.cell}")
    if settings.readout and not stack.bidirectional:
        raise UsageError(f"--readout is for two directions, and {path} has one; leave it out")
    if stack.bidirectional and settings.readout is None:
        raise UsageError(
            f"{path} is bidirectional: say what its head reads by --readout: last (out[:, -1]), "
            "final (both ends of h_n side by side) or each (every step)"
        )
    return {
        "cell": stack.cell,
        "hidden_size": stack.hidden_size,
        "num_layers": stack.num_layers,
        "bidirectional": stack.bidirectional,
        "bias": stack.bias,
        "nonlinearity": settings.nonlinearity or "tanh",
        "proj_size": stack.proj_size,
        "readout": settings.readout or "each",
    }


def _floats(
    path: Path, tensors: Mapping[str, Tensor], architecture: Architecture, non_finite: bool
) -> dict[str, Tensor]:
    """The weights of the architecture in float32, each with memory of its own."""
    used = {name: tensors[name] for name in architecture.weights}
    no_floats = [
        f"{name} is {str(tensor.dtype).removeprefix('torch.')}"
        for name, tensor in used.items()
        if not tensor.is_floating_point()
    ]
    if no_floats:
        raise MalformedError(
            f"{path} has weights that are no floats: {'; '.join(no_floats)}; save the module "
            "before it is quantized"
        )
    floats = {
        name: tensor.detach().to(torch.float32, copy=True).contiguous()
        for name, tensor in used.items()
    }
    strange = [name for name, tensor in floats.items() if not tensor.isfinite().all()]
    if strange and not non_finite:
        raise MalformedError(
            f"{path} has NaN or infinity in {', '.join(strange)}; take weights from before the "
            "training diverged, or let them pass by --allow-non-finite"
        )
    return floats


def _recurrent_weights(floats: Mapping[str, Tensor], stack: Stack) -> dict[str, Tensor]:
    ending = "_l0" if stack.is_cell else ""
    dot = f"{stack.name}." if stack.name else ""
    return {
        f"recurrent.layers.{name.removeprefix(dot)}{ending}": floats[name]
        for name in stack.weights()
    }


def _series_network(
    architecture: Architecture, settings: ImportSettings, options: dict[str, Any]
) -> Network:
    features, targets = architecture.stack.input_size, architecture.outputs
    into = _per_column(settings.scaler, features, "--scaler", "column that goes in")
    back = settings.output_scaler
    if not back and settings.scaler:
        if len(set(settings.scaler)) > 1 and targets != features:
            raise UsageError(
                f"{features} columns go in and {targets} come out: give --output-scaler for what "
                "comes out"
            )
        back = settings.scaler
    out = _per_column(back, targets, "--output-scaler", "column that comes out")
    scaler = Scaler(
        input_mean=tuple(mean for mean, _ in into),
        input_std=tuple(std for _, std in into),
        output_mean=tuple(mean for mean, _ in out),
        output_std=tuple(std for _, std in out),
    )
    model = SeriesModel(features=features, targets=targets, **options)
    return Network(model, scaler=scaler)


def _per_column(pairs: Pairs, columns: int, flag: str, what: str) -> Sequence[tuple[float, float]]:
    if not pairs:
        return [(0.0, 1.0)] * columns
    if len(pairs) not in (1, columns):
        raise UsageError(
            f"{flag} is given {len(pairs)} times; give it once for all, or for each {what}, "
            f"{columns} in all"
        )
    return pairs * columns if len(pairs) == 1 else pairs


def _text_network(
    path: Path,
    architecture: Architecture,
    settings: ImportSettings,
    options: dict[str, Any],
    floats: Mapping[str, Tensor],
    weights: dict[str, Tensor],
) -> Network:
    """A text network; ``weights`` get an embedding, and a place for the unknown entry."""
    width = architecture.stack.input_size
    size = width if architecture.embedding is None else architecture.embedding_rows
    if architecture.outputs != size:
        raise MalformedError(
            f"{path} reads {size} characters and gives {architecture.outputs} numbers, so it does "
            "not forecast characters; export it from Python, with pipeline.export.export_onnx"
        )
    if settings.vocabulary is None:
        raise UsageError(
            f"{path} is for {size} characters: give them in the order of their indices by "
            "--vocabulary, as a file or as they are: --vocabulary abcdefghijklmnopqrstuvwxyz"
        )
    vocabulary, has_unknown = read_vocabulary(settings.vocabulary, size)
    if architecture.embedding is None:
        table = torch.eye(width)  # a row of it is the one-hot vector
    else:
        table = floats[weight_of(architecture.embedding)]
    if not has_unknown:
        # An unknown character reads as zeros, and is never written.
        table = torch.cat([table.new_zeros(1, width), table])
        head, bias = weights["head.weight"], weights["head.bias"]
        weights["head.weight"] = torch.cat([head.new_zeros(1, head.size(1)), head])
        weights["head.bias"] = torch.cat([bias.new_full((1,), _NEVER), bias])
    weights["encoder.1.weight"] = table
    model = TextModel(embedding_size=width, **options)
    return Network(model, vocabulary=vocabulary)
