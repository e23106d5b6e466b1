"""A user's module as a reference: the eager one at its export, its TorchScript in a bundle."""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.bundle.samples import sampled
from pipeline.contract import Bundle
from pipeline.contract.files import TORCHSCRIPT_FILE
from pipeline.contract.law import Array
from pipeline.contract.samples import draw
from pipeline.contract.tensors import Axis, Contract, Tensors
from pipeline.errors import MalformedError, one_line
from pipeline.export.called import Called
from pipeline.export.state import Explicit
from pipeline.verify import Reference

_LARGER = (0, 2, 7, 4)  # than the smallest size of an axis that is neither batch nor time


def explicit_reference(
    explicit: Explicit, axes: Mapping[str, Axis], samples: Mapping[str, Any]
) -> tuple[Reference, Tensors]:
    """The eager module, with its ``axes``, as a reference, and the data to cut its inputs from.

    Raises:
        UsageError: a sample is of no input, or does not fit it.
    """
    inputs, held_out = sampled(explicit.contract, explicit.example, samples)
    contract = replace(explicit.contract, inputs=inputs)
    initial = partial(_repeated, _initial(explicit, contract), contract)
    twin = explicit.module_in_float64
    return reference_of(contract, axes, explicit.module, twin, initial, held_out), held_out


def module_reference(bundle: Bundle) -> Reference:
    """The TorchScript of ``bundle`` as a reference; whoever calls this must know that it may run.

    The export has compared it with the eager module, in float32 and in float64.

    Raises:
        MalformedError: it is no TorchScript; calls raise it too, where the contract does not fit.
        PipelineError: as :meth:`Bundle.read`.
    """
    manifest = bundle.manifest
    assert manifest.module is not None
    file = bundle.read(TORCHSCRIPT_FILE)
    with _program_errors(bundle):
        module = load_torchscript(file)
        twin = load_torchscript(file).double() if manifest.module.float64 else None
    initial, held_out = bundle.initial_states, bundle.held_out()
    found = reference_of(manifest.contract, manifest.axes, module, twin, initial, held_out)
    exact = None if twin is None else _Program(twin, torch.float64, bundle)
    return replace(found, model=_Program(module, None, bundle), twin=exact)


class _Program(Called):
    """The TorchScript of a bundle, which need not be what the manifest says."""

    def __init__(self, module: nn.Module, dtype: torch.dtype | None, bundle: Bundle) -> None:
        super().__init__(module, dtype)
        self.bundle = bundle

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call; raises MalformedError where it cannot be made as the contract says."""
        with _program_errors(self.bundle):
            found = super().call(inputs)
            ranks = [len(spec.shape) for spec in self.bundle.manifest.outputs]
            if [array.ndim for array in found] != ranks:
                raise ValueError("it gives other tensors")
        return found


@contextmanager
def _program_errors(bundle: Bundle) -> Iterator[None]:
    """Errors of a TorchScript file, which have many types, as those of the bundle."""
    try:
        yield
    except Exception as error:
        raise MalformedError(
            f"{bundle.folder / TORCHSCRIPT_FILE} cannot be run as the manifest says "
            f"({one_line(error)}); export it anew"
        ) from error


def reference_of(
    contract: Contract,
    axes: Mapping[str, Axis],
    module: nn.Module,
    twin: nn.Module | None,
    initial: Callable[[int], Tensors],
    held_out: Mapping[str, Array],
) -> Reference:
    """A module and its float64 twin as a reference, with inputs drawn as the contract says."""

    def sample(batch: int, time: int, start: int) -> Tensors:
        larger = _LARGER[(batch + time) % len(_LARGER)]
        sizes = {name: axis.smallest + larger * axis.multiple for name, axis in axes.items()}
        sizes |= {contract.batch or "": batch, contract.time or "": time}
        rng = np.random.default_rng((batch, time, start))
        return draw(contract.data_inputs, sizes, rng, held_out, start)

    return Reference(
        contract,
        Called(module),
        None if twin is None else Called(twin, torch.float64),
        sample,
        initial,
        axes[contract.time].multiple if contract.time else 1,
    )


def load_torchscript(file: bytes) -> nn.Module:
    """The module in a TorchScript file, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit warns that it is deprecated
        loaded: nn.Module = torch.jit.load(io.BytesIO(file), map_location="cpu")
    return loaded


def _initial(explicit: Explicit, contract: Contract) -> Tensors:
    """One row of each state at the start, as an array of the shape of its tensor."""
    found = {}
    for before, _ in contract.states:
        spec = next(one for one in contract.inputs if one.name == before)
        start = np.broadcast_to(explicit.initial[before], spec.smallest_shape)
        found[before] = start.astype(spec.type)
    return found


def _repeated(rows: Tensors, contract: Contract, batch: int) -> Tensors:
    """The initial states of a number of streams."""
    return contract.rows(rows, [0] * batch) if contract.batch else dict(rows)
