"""Put a bundle together, file by file."""

from safetensors.torch import save as save_safetensors

from pipeline.bundle.card import model_card
from pipeline.bundle.golden import (
    backend_test_files,
    golden_json,
    golden_trajectories,
    held_out_input,
)
from pipeline.bundle.manifest import (
    FileEntry,
    Manifest,
    StateEntry,
    check_manifest,
)
from pipeline.checkpoint import Checkpoint, versions
from pipeline.config import ImportedConfig
from pipeline.export import export, export_loop
from pipeline.model import Network
from pipeline.signature import FLOAT32, FORMAT, MANIFEST_FILE, NEXT_STATE, STATE, loop
from pipeline.storage import canonical_json, sha256

WEIGHTS_FILE = "model.safetensors"
TORCHSCRIPT_FILE = "model.pt"
ONNX_FILE = "onnx/model.onnx"
GOLDEN_FILE = "golden.json"
CARD_FILE = "README.md"


def build_bundle(
    checkpoint: Checkpoint, checkpoint_sha256: str, network: Network, opset: int
) -> dict[str, bytes]:
    """Every file of the bundle, ``manifest.json`` last; the same bytes for the same checkpoint.

    Raises:
        ParityError: an exported graph breaks the contract or gives other numbers.
    """
    config = checkpoint.config
    spread = checkpoint.spread
    onnx_file, torchscript_file = export(network, config.name, opset, spread)
    source = held_out_input(checkpoint.held_out)
    golden = golden_json(checkpoint, golden_trajectories(network, source))
    signature, contract = network.signature, loop(config.model)
    looped = export_loop(onnx_file, network, spread)
    files = {
        WEIGHTS_FILE: save_safetensors(dict(network.state_dict())),
        TORCHSCRIPT_FILE: torchscript_file,
        ONNX_FILE: onnx_file,
        **({contract.file: looped} if contract and looped else {}),
        **backend_test_files(network, source),
        GOLDEN_FILE: canonical_json(golden, indent=None),
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
        state=_state_entry(network) if signature.streams else None,
        loop=contract,
        spread=spread,
        window=None
        if signature.streams or isinstance(config, ImportedConfig)
        else config.training.window,
        scaler=checkpoint.scaler,
        vocabulary=checkpoint.vocabulary,
        source=config.source,
        parameters=checkpoint.parameters,
        training=checkpoint.training,
        checkpoint_sha256=checkpoint_sha256,
        versions=versions(),
        tolerance=FLOAT32,
        files={name: file_entry(data) for name, data in files.items()},
    )
    return {**files, MANIFEST_FILE: manifest_bytes(manifest)}


def _state_entry(network: Network) -> StateEntry:
    signature = network.signature
    return StateEntry(
        input=STATE,
        output=NEXT_STATE,
        shape=signature.state.shape,
        initial=0.0,
        rows=signature.state_rows,
        h_columns=network.config.h_size,
    )


def file_entry(data: bytes) -> FileEntry:
    """Digest and size of ``data``."""
    return FileEntry(sha256=sha256(data), bytes=len(data))


def manifest_bytes(manifest: Manifest) -> bytes:
    """``manifest.json``, held against its schema.

    Raises:
        MalformedError: it does not fit the schema.
    """
    content = manifest.model_dump(mode="json")
    check_manifest(content, MANIFEST_FILE)
    return canonical_json(content)
