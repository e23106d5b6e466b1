"""The inputs of a module, as they are declared on the command line, read from a file, or guessed.

A declaration is ``x=float32[batch,time,4]`` or ``tokens=int64[batch,time]<50``: a name, a type, a
shape whose words are dynamic axes, and for whole numbers how many there are.
"""

import copy
import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.contract.tensors import ElementType
from pipeline.errors import MalformedError, UsageError, one_line

_DECLARED = re.compile(
    r"(?P<name>[A-Za-z_]\w*)=(?P<type>\w+)\[(?P<shape>[^\[\]]*)\](?:<(?P<count>\d+))?"
)
_USUAL = {"batch": 2, "time": 5}  # sizes of the example; other axes have 3 and up
_FORM = "give NAME=TYPE[AXES], such as x=float32[batch,time,4] or tokens=int64[batch,time]<50"


@dataclass(frozen=True)
class Inputs:
    """Example inputs by name, their dynamic axes, and ranges of whole numbers."""

    example: dict[str, Tensor]
    axes: dict[str, dict[int, str]]
    samples: dict[str, Any] = field(default_factory=dict)


def declared_inputs(texts: Sequence[str], seed: int = 0) -> Inputs:
    """Inputs from declarations, with an example of random numbers.

    Raises:
        UsageError: a declaration cannot be read.
    """
    generator = np.random.default_rng(seed)
    inputs, sizes = Inputs({}, {}), dict(_USUAL)
    for text in texts:
        found = _DECLARED.fullmatch(text.replace(" ", ""))
        if found is None:
            raise UsageError(f"--input {text}: {_FORM}")
        name, kind = found["name"], found["type"]
        if kind not in get_args(ElementType):
            raise UsageError(f"--input {text}: no type is called {kind}; {_FORM}")
        axes = [axis for axis in found["shape"].split(",") if axis]
        if not all(axis.isidentifier() or (axis.isdigit() and int(axis)) for axis in axes):
            raise UsageError(f"--input {text}: an axis is a word or a size from 1; {_FORM}")
        for axis in axes:
            if not axis.isdigit():
                sizes.setdefault(axis, 1 + len(sizes))
        shape = [int(axis) if axis.isdigit() else sizes[axis] for axis in axes]
        inputs.axes[name] = {k: axis for k, axis in enumerate(axes) if not axis.isdigit()}
        if np.dtype(kind).kind == "f":
            array = generator.normal(size=shape).astype(kind)
        elif kind == "bool":
            array = generator.random(shape) < 0.5
        else:
            if found["count"] is None or int(found["count"]) < 1:
                raise UsageError(
                    f"--input {text}: say how many whole numbers there are, from 0 up, by <N at "
                    "its end"
                )
            count = int(found["count"])
            array = generator.integers(0, count, shape).astype(kind)
            inputs.samples[name] = range(count)
        inputs.example[name] = torch.from_numpy(np.asarray(array))
    return inputs


def example_inputs(path: Path, texts: Sequence[str]) -> Inputs:
    """Inputs from the arrays in an ``.npz`` file; declarations say which of their axes are dynamic.

    Without declarations, the first axis is ``batch`` and the second is ``time``.

    Raises:
        UsageError: a declaration does not fit the array of its name.
        MalformedError: the file is no ``.npz`` file of numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # numpy and zipfile raise many types
        raise MalformedError(f"{path} is no .npz file of arrays ({one_line(error)})") from error
    told = declared_inputs(texts)
    usual = {
        name: dict(enumerate(("batch", "time")[: array.ndim])) for name, array in arrays.items()
    }
    for name, axes in told.axes.items():
        if name not in arrays or arrays[name].ndim != told.example[name].dim():
            raise UsageError(f"--input {name}: {path} has no array of that name and rank")
        usual[name] = axes
    return Inputs({name: torch.from_numpy(y) for name, y in arrays.items()}, usual, told.samples)


def guessed_inputs(module: nn.Module, name: str) -> Inputs:
    """The one input of ``module``, told from its first layer that says a size.

    Raises:
        UsageError: it cannot be told; the message asks for it.
    """
    required = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.default is parameter.empty and parameter.kind != parameter.VAR_KEYWORD
    ]
    asked, first = ", ".join(required) or "its inputs", [*required, "x"][0]
    refusal = UsageError(
        f"say what {name} takes as {asked}, such as --input {first}=float32[batch,time,4]"
    )
    if len(required) != 1:
        raise refusal
    for declaration in _guesses(module, required[0]):
        inputs = declared_inputs([declaration])
        try:
            with torch.no_grad():
                copy.deepcopy(module).eval()(*inputs.example.values())  # which may keep a state
        except Exception:  # the guess was wrong
            continue
        return inputs
    raise refusal


def _guesses(module: nn.Module, name: str) -> Iterable[str]:
    for layer in module.modules():
        if isinstance(layer, nn.Embedding):
            yield f"{name}=int64[batch,time]<{layer.num_embeddings}"
        elif isinstance(layer, nn.RNNBase):
            order = "batch,time" if layer.batch_first else "time,batch"
            yield f"{name}=float32[{order},{layer.input_size}]"
        elif isinstance(layer, nn.RNNCellBase):
            yield f"{name}=float32[batch,{layer.input_size}]"
        elif isinstance(layer, nn.Linear):
            yield f"{name}=float32[batch,time,{layer.in_features}]"
        elif isinstance(layer, nn.Conv1d):
            yield f"{name}=float32[batch,{layer.in_channels},time]"
            yield f"{name}=float32[batch,time,{layer.in_channels}]"
