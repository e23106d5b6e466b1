"""A step graph of a bundle: the program it is converted from, and its place among the files."""

from collections.abc import Mapping

import torch

from pipeline.bundle.module_reference import load_torchscript
from pipeline.bundle.network import network_of
from pipeline.bundle.write import file_entry
from pipeline.contract import Bundle
from pipeline.contract.files import CARD_FILE, MANIFEST_FILE, TORCHSCRIPT_FILE
from pipeline.export.step_program import step_program
from pipeline.seal import sealed


def program_of(bundle: Bundle, sizes: Mapping[str, int]) -> bytes:
    """The model of ``bundle``, with axes of these ``sizes``, as a program of ``torch.export``.

    The TorchScript of a module must be one that may run: :meth:`pipeline.trust.Trust.require`.

    Raises:
        MalformedError: one step of it cannot be traced, or a file is not what it should be.
        IntegrityError: a file of the bundle was changed.
    """
    manifest = bundle.manifest
    if manifest.module is None:
        module = network_of(bundle).exported()
    else:
        module = load_torchscript(bundle.read(TORCHSCRIPT_FILE))
    inputs = []
    for spec in manifest.inputs:
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape]
        inputs.append(torch.zeros(shape, dtype=getattr(torch, spec.type)))
    return step_program(module.eval(), inputs)


def with_step_graph(
    bundle: Bundle, file: str, data: bytes, sizes: Mapping[str, int], made_for: str
) -> dict[str, bytes]:
    """The files of ``bundle`` that are new with the step graph ``file``; ``manifest.json`` last.

    The card says at which ``sizes`` it is the model, and what it was ``made_for``.
    """
    fixed = ", ".join(f"{axis} {size}" for axis, size in sizes.items()) or "the sizes above"
    line = f"`{file}` is this function for {made_for}, at {fixed}: {_HOW}"
    card = bundle.read(CARD_FILE).decode()
    others = [part for part in card.rstrip("\n").split("\n\n") if not part.startswith(f"`{file}`")]
    card = "\n\n".join([*others, line]) + "\n"
    entries = {
        **bundle.manifest.files,
        file: file_entry(data).model_copy(update={"sizes": dict(sizes)}),
        CARD_FILE: file_entry(card.encode()),
    }
    manifest = bundle.manifest.model_copy(update={"files": entries})
    return {file: data, CARD_FILE: card.encode(), MANIFEST_FILE: sealed(manifest)}


_HOW = "a tensor is known by its place above, and the caller carries the state from step to step."
