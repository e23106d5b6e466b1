"""The files of a variant, made of the bundle that has its weights in float32."""

import safetensors.numpy

from pipeline.bundle.golden import backend_test_files, golden_json, golden_trajectories
from pipeline.bundle.variant_card import variant_card
from pipeline.bundle.variant_module import ModuleToStore
from pipeline.bundle.variant_network import NetworkToStore
from pipeline.bundle.write import file_entry
from pipeline.checkpoint import versions
from pipeline.contract import Bundle
from pipeline.contract.bundle_weights import bundle_weights
from pipeline.contract.files import (
    CARD_FILE,
    GOLDEN_FILE,
    INITIAL_FILE,
    MANIFEST_FILE,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    WEIGHTS_FILE,
)
from pipeline.contract.manifest import FORMAT
from pipeline.contract.small_weights import SmallType
from pipeline.contract.variant import Variant
from pipeline.errors import UsageError
from pipeline.seal import require_readable, sealed
from pipeline.storage import canonical_json
from pipeline.threads import torch_threads
from pipeline.variants.choice import choose
from pipeline.variants.subject import Subject


def build_variant(
    bundle: Bundle, kind: SmallType, max_loss: float | None = None
) -> dict[str, bytes]:
    """All files of the variant of ``bundle`` in ``kind``, ``manifest.json`` last.

    ``max_loss`` is the share by which a score may be worse than in float32; weights stay in float32
    until it is not. The TorchScript of a module must be one that may run.

    Equal bundles give equal bytes on one machine. On another processor, a number that lies between
    two may be rounded to the other; what was chosen is what the bundle holds.

    Raises:
        UsageError: the bundle is of format 1, or a variant itself.
        ParityError: a file gives other numbers than PyTorch with the same weights.
        MalformedError: a file of the bundle is missing or not what it should be.
        IntegrityError: a file of the bundle was changed.
    """
    parent = bundle.manifest
    if parent.variant is not None:
        raise UsageError(f"{parent.name} is a variant; name the bundle that it was made of")
    if bundle.format != FORMAT:
        raise UsageError(f"{parent.name} is of format {bundle.format}; export it anew")
    name = f"{parent.name}-{kind}"
    subject: Subject = (NetworkToStore if parent.module is None else ModuleToStore)(bundle)
    with torch_threads(parent.parameters):
        choice = choose(subject, kind, max_loss)
        made = subject.files(choice.weights)
        trajectories = golden_trajectories(made.reference)
        test_files = backend_test_files(made.reference)
    held_out = bundle.golden().model_dump(mode="json")["held_out"]
    golden = canonical_json(
        golden_json(name, made.reference.contract, trajectories, held_out), indent=None
    )
    require_readable(golden, GOLDEN_FILE)
    variant = Variant(
        of=parent.name,
        of_sha256=bundle.digest,
        weights=kind,
        rounding=choice.rounding,
        max_loss=max_loss,
        kept=choice.kept,
        stored={name: weight.kind for name, weight in made.weights.items()},
        scores=choice.scores,
    )
    tensors = bundle_weights(bundle).arrays
    for key, weight in made.weights.items():
        tensors |= weight.tensors(key)
    initial = [INITIAL_FILE] if INITIAL_FILE in parent.files else []
    files = {
        WEIGHTS_FILE: safetensors.numpy.save(tensors, metadata={"format": "pt"}),
        TORCHSCRIPT_FILE: made.torchscript_file,
        ONNX_FILE: made.onnx_file,
        **made.loop_files,
        **test_files,
        GOLDEN_FILE: golden,
        **{file: bundle.read(file) for file in initial},
    }
    size, small = (len(bundle.read(ONNX_FILE)), len(made.onnx_file))
    card = variant_card(bundle.read(CARD_FILE).decode(), variant, name, small / size)
    files = {CARD_FILE: card.encode(), **files}
    manifest = parent.model_copy(
        update={
            "name": name,
            "variant": variant,
            "versions": versions(),
            "files": {key: file_entry(data) for key, data in files.items()},
        }
    )
    return {**files, MANIFEST_FILE: sealed(manifest)}
