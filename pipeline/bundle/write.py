"""The files of a bundle, made from a checkpoint."""

from safetensors.torch import save as save_safetensors

from pipeline.bundle.card import model_card
from pipeline.bundle.golden import golden_files
from pipeline.bundle.network import network_reference
from pipeline.checkpoint import Checkpoint, versions
from pipeline.config import ImportedConfig
from pipeline.contract.files import (
    CARD_FILE,
    MANIFEST_FILE,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    WEIGHTS_FILE,
)
from pipeline.contract.held_out import held_out_input
from pipeline.contract.law import TOLERANCES
from pipeline.contract.manifest import FORMAT, FileEntry, Manifest
from pipeline.contract.stored import stored
from pipeline.export import export, export_loop
from pipeline.model import Network
from pipeline.network_tensors import AXES, loop, state_pairs
from pipeline.seal import sealed
from pipeline.storage import sha256
from pipeline.threads import torch_threads, weights_of


def build_bundle(checkpoint: Checkpoint, network: Network, opset: int) -> dict[str, bytes]:
    """All files of the bundle, ``manifest.json`` last; equal checkpoints give equal bytes.

    Raises:
        ParityError: an exported graph breaks the contract or gives other numbers.
        MalformedError: the model is so large that readers would refuse its golden data.
    """
    config = checkpoint.config
    spread = checkpoint.spread
    onnx_file, torchscript_file = export(network, config.name, opset, spread)
    tensors, looped = network.tensors, loop(config.model)
    source = held_out_input(checkpoint.held_out)
    reference = network_reference(network, source)
    held_out = checkpoint.held_out
    data = held_out if isinstance(held_out, str) else stored(source)
    with torch_threads(weights_of(network)):
        golden = golden_files(config.name, reference, {tensors.input.name: data})
    loop_file = export_loop(onnx_file, network, spread)
    files = {
        WEIGHTS_FILE: save_safetensors(dict(network.state_dict()), metadata={"format": "pt"}),
        TORCHSCRIPT_FILE: torchscript_file,
        ONNX_FILE: onnx_file,
        **({looped.file: loop_file} if looped and loop_file else {}),
        **golden,
        CARD_FILE: model_card(checkpoint, tensors).encode(),
    }
    manifest = Manifest(
        format=FORMAT,
        name=config.name,
        inputs=tensors.inputs,
        outputs=tensors.outputs,
        states=state_pairs(config.model),
        axes=AXES,
        tolerance=TOLERANCES,
        opset=opset,
        task=config.model.task,
        loop=looped,
        window=None
        if tensors.has_state or isinstance(config, ImportedConfig)
        else config.training.window,
        spread=spread,
        scaler=checkpoint.scaler,
        vocabulary=checkpoint.vocabulary,
        source=config.source,
        training=checkpoint.training,
        model=config.model,
        module=None,
        parameters=checkpoint.parameters,
        checkpoint_sha256=checkpoint.digest,
        versions=versions(),
        files={name: file_entry(data) for name, data in files.items()},
    )
    return {**files, MANIFEST_FILE: sealed(manifest)}


def file_entry(data: bytes) -> FileEntry:
    """Digest and size of ``data``."""
    return FileEntry(sha256=sha256(data), bytes=len(data))
