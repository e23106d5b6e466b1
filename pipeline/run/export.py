"""The export of a user's module to a bundle: its state made explicit, proven, and written."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from torch import nn

from pipeline import contract
from pipeline.bundle.module import build_module_bundle
from pipeline.bundle.variant import build_variant
from pipeline.config import Name
from pipeline.contract.small_weights import SmallType
from pipeline.errors import UsageError
from pipeline.export.module.example import Axes
from pipeline.export.state import Explicit, explicit
from pipeline.network_tensors import DEFAULT_OPSET, OPSETS
from pipeline.run.bundle import Bundle, load
from pipeline.storage import exclusive, write_folder
from pipeline.trust.own_exports import remember_export, was_exported_here

States = Mapping[str, str | int] | Literal["auto", "none"]


def export_module(
    module: nn.Module,
    example: Any = (),
    *,
    kwargs: Mapping[str, Any] | None = None,
    name: str,
    axes: Axes | None = None,
    states: States = "auto",
    check_inputs: Sequence[Sequence[Any]] = (),
    samples: Mapping[str, Any] | None = None,
    exported: str | Path = "exported",
    opset: int = DEFAULT_OPSET,
    show: Callable[[Explicit], None] = lambda found: None,
) -> Bundle:
    """Export any module, with its state made explicit, to a bundle with golden data.

    A state may be a recurrent layer that is called without one, tensors that ``forward``
    keeps on the module, or arguments that come back as results. It is proven that a
    sequence in one call, in pieces and step by step gives the same numbers, before anything is
    written. The module is exported as it is in ``eval()``, and left as it was.

    Args:
        module: Any module that runs on the CPU.
        example: What ``forward`` is called with: an argument, or a sequence of them; tensors may
            lie in tuples, lists, mappings and dataclasses.
        kwargs: Further arguments, by name.
        name: The name of the bundle, whose folder is ``exported/<name>``.
        axes: The axes of each input that may have any size, with a name for each:
            ``{"x": {0: "batch", 1: "time"}}``. The names ``batch`` and ``time`` are understood.
        states: ``auto`` finds them; a mapping pairs arguments and results, as ``{"h": "h_next"}``;
            ``none`` makes the contract of a whole sequence in one call.
        check_inputs: Arguments, of any sizes, to compare the files with PyTorch on.
        samples: How to draw an input for the proof, by its name: a pair of mean and deviation, a
            ``range``, the name of an axis whose lengths it has, or data to cut from. By default
            they are drawn like ``example``.
        exported: The folder of the bundles.
        opset: The version of ONNX's operators, 18 to 23.
        show: Called with the states that were found, before anything is written.

    Raises:
        MalformedError: the module cannot be exported, or its state cannot be made explicit; says
            which submodule, and why.
        ParityError: a file gives other numbers than PyTorch.
        UsageError: a name, an axis, a state, a sample or the opset cannot be.
        StorageError: the file system refused.
    """
    if opset not in OPSETS:
        raise UsageError(f"opset {opset} is not one of {OPSETS.start} to {OPSETS.stop - 1}")
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise UsageError(
            f"{name!r} is no name of a bundle; give letters, digits, dots, dashes and underscores"
        ) from error
    found = explicit(module, example, kwargs, axes=axes or {}, states=states)
    show(found)
    files = build_module_bundle(
        found, module, name, opset=opset, samples=samples, check_inputs=check_inputs
    )
    folder = Path(exported) / name
    with exclusive(folder):
        write_folder(folder, files)
    bundle = load(folder)
    remember_export(bundle.digest)
    return bundle


def export_variant(
    bundle: contract.Bundle, kind: SmallType, max_loss: float | None = None
) -> Bundle:
    """Write the variant of ``bundle`` in ``kind`` into its folder, and open it.

    With ``max_loss``, weights stay in float32 until no score is worse by more than that share.

    The TorchScript of a module must be one that may run: :meth:`pipeline.trust.Trust.require`. The
    variant of a stranger's module is still the stranger's: its TorchScript runs by permission only.
    Raises as :func:`pipeline.bundle.variant.build_variant`.

    Raises:
        StorageError: the file system refused.
    """
    folder = bundle.folder / kind
    with exclusive(bundle.folder), exclusive(folder):
        write_folder(folder, build_variant(bundle, kind, max_loss))
    variant = load(folder)
    if variant.manifest.module is not None and was_exported_here(bundle.digest):
        remember_export(variant.digest)
    return variant
