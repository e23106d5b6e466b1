"""The files of a bundle, made from a checkpoint."""

from safetensors.torch import save as save_safetensors

from pipeline.bundle.card import model_card
from pipeline.bundle.golden import backend_test_files, golden_json, golden_trajectories
from pipeline.checkpoint import Checkpoint, versions
from pipeline.config import ImportedConfig
from pipeline.contract.held_out import held_out_input
from pipeline.contract.law import FLOAT32
from pipeline.contract.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    WEIGHTS_FILE,
    FileEntry,
    Manifest,
    state_entry,
)
from pipeline.export import export, export_loop
from pipeline.model import Network
from pipeline.seal import require_readable, sealed
from pipeline.signature import FORMAT, MANIFEST_FILE, loop
from pipeline.storage import canonical_json, sha256


def build_bundle(checkpoint: Checkpoint, network: Network, opset: int) -> dict[str, bytes]:
    """All files of the bundle, ``manifest.json`` last; equal checkpoints give equal bytes.

    Raises:
        ParityError: an exported graph breaks the contract or gives other numbers.
        MalformedError: the model is so large that readers would refuse its golden data.
    """
    config = checkpoint.config
    spread = checkpoint.spread
    onnx_file, torchscript_file = export(network, config.name, opset, spread)
    source = held_out_input(checkpoint.held_out)
    content = golden_json(checkpoint, golden_trajectories(network, source))
    golden = canonical_json(content, indent=None)
    require_readable(golden, GOLDEN_FILE)
    signature, contract = network.signature, loop(config.model)
    looped = export_loop(onnx_file, network, spread)
    files = {
        WEIGHTS_FILE: save_safetensors(dict(network.state_dict())),
        TORCHSCRIPT_FILE: torchscript_file,
        ONNX_FILE: onnx_file,
        **({contract.file: looped} if contract and looped else {}),
        **backend_test_files(network, source),
        GOLDEN_FILE: golden,
        CARD_FILE: model_card(checkpoint, signature).encode(),
    }
    manifest = Manifest(
        format=FORMAT,
        name=config.name,
        task=config.model.task,
        model=config.model,
        opset=opset,
        inputs=signature.inputs,
        outputs=signature.outputs,
        state=state_entry(config.model),
        loop=contract,
        spread=spread,
        window=None
        if signature.has_state or isinstance(config, ImportedConfig)
        else config.training.window,
        scaler=checkpoint.scaler,
        vocabulary=checkpoint.vocabulary,
        source=config.source,
        parameters=checkpoint.parameters,
        training=checkpoint.training,
        checkpoint_sha256=checkpoint.digest,
        versions=versions(),
        tolerance=FLOAT32,
        files={name: file_entry(data) for name, data in files.items()},
    )
    return {**files, MANIFEST_FILE: sealed(manifest)}


def file_entry(data: bytes) -> FileEntry:
    """Digest and size of ``data``."""
    return FileEntry(sha256=sha256(data), bytes=len(data))
