"""Hostile cases of weights and code: safetensors, TorchScript, and files to import."""

import math
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hostile import HOSTILE, Payload, entry, safetensors_of, saved
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from strangers import hostile_torchscript, of_another_hand

from pipeline.contract.files import TORCHSCRIPT_FILE, WEIGHTS_FILE
from pipeline.storage import sha256
from torture.cases import (
    Hostile,
    bundle_commands,
    checkpoint_commands,
    checkpoint_of,
    replacing,
    reseal_snapshot,
    rewriting_checkpoint,
)
from torture.commands import COMPILED, TORCHSCRIPT, TRUSTED, VALIDATE, Command, pair
from torture.originals import MODELS, MODULES, Originals, export_command, resume_command

_UNFINISHED = "unfinished/wave/training.safetensors"
_RESUME = resume_command("wave")


def _tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def make(data: bytes) -> bytes:
        tensors = load_safetensors(data)
        return save_safetensors(change(tensors) or tensors)

    return make


WEIGHTS: dict[str, Callable[[bytes], bytes]] = {
    "doubled": _tensors(lambda t: {k: v * 2 for k, v in t.items()}),
    "float64": _tensors(lambda t: {k: v.double() for k, v in t.items()}),
    "float16": _tensors(lambda t: {k: v.half() for k, v in t.items()}),
    "int32": _tensors(lambda t: {k: v.int() for k, v in t.items()}),
    "NaN": _tensors(lambda t: {k: v * math.nan for k, v in t.items()}),
    "flat": _tensors(lambda t: {k: v.reshape(-1) for k, v in t.items()}),
    "one short": _tensors(lambda t: dict(list(t.items())[1:])),
    "one more": _tensors(lambda t: {**t, "more": next(iter(t.values())).clone()}),
    "renamed": _tensors(lambda t: {f"x.{k}": v for k, v in t.items()}),
    "none": lambda data: save_safetensors({}),
    "half": lambda data: data[: len(data) // 2],
    "a pickle": lambda data: saved(Payload()),
    "a header of 2^40": lambda data: struct.pack("<Q", 2**40) + data[8:],
    "a header of 2^63": lambda data: struct.pack("<Q", 2**63 + 7) + data[8:],
    "a wide shape": lambda data: safetensors_of({"a": entry(shape=(2**40, 2**20))}),
    "negative": lambda data: safetensors_of({"a": entry(shape=(-4,))}),
    "nested": lambda data: safetensors_of(b'{"a":' * 100_000),
}


def strange_weights(originals: Originals) -> Iterator[Hostile]:
    """Other weights, in a bundle, in a checkpoint, and in an unfinished training."""
    for what, make in WEIGHTS.items():
        for model in MODELS:
            bundle = originals.bundle(model)
            # Those of a module are also folded into others, so that a file need not hold them.
            certain = bundle.manifest.model is not None
            yield Hostile(
                f"{model}: weights of the bundle are {what}",
                model,
                replacing(WEIGHTS_FILE, make),
                bundle_commands(bundle, COMPILED, TRUSTED),
                never=(VALIDATE,) if certain else (),
            )
        yield Hostile(
            f"weights of a checkpoint are {what}",
            "wave",
            partial(_other_weights, make=make),
            checkpoint_commands("wave"),
        )
        yield Hostile(
            f"weights of an unfinished training are {what}",
            "wave",
            partial(_rewritten_unfinished, make=make),
            (_RESUME,),
        )


def _rewritten_unfinished(folder: Path, make: Callable[[bytes], bytes]) -> None:
    path = folder / _UNFINISHED
    path.write_bytes(make(path.read_bytes()))
    reseal_snapshot(path)


def _other_weights(folder: Path, make: Callable[[bytes], bytes]) -> None:
    checkpoint = checkpoint_of(folder)
    path = next(checkpoint.glob("weights-*"))
    data = make(path.read_bytes())
    path.unlink()
    name = f"weights-{sha256(data)[:16]}.safetensors"
    (checkpoint / name).write_bytes(data)
    rewriting_checkpoint(lambda c: c["weights"].update(file=name, sha256=sha256(data)))(folder)


def strange_torchscript(originals: Originals) -> Iterator[Hostile]:
    """TorchScript with code of a stranger, in a bundle and named by itself."""
    makes: dict[str, Callable[[bytes], bytes]] = {
        "writes when it is loaded": lambda data: hostile_torchscript(),
        "is of another hand": of_another_hand,
        "is a pickle": lambda data: saved(Payload()),
        "is empty": lambda data: b"",
        "is half": lambda data: data[: len(data) // 2],
        "is the weights of a pickle": lambda data: saved({"a": Payload("eval")}),
    }
    for what, make in makes.items():
        for model in MODELS:
            bundle = originals.bundle(model)
            folder = f"exported/{model}"
            yield Hostile(
                f"{model}: TorchScript {what}",
                model,
                replacing(TORCHSCRIPT_FILE, make),
                bundle_commands(
                    bundle,
                    TORCHSCRIPT,
                    pair("torchscript", "onnx"),
                    ("validate", folder, "--runtime=torchscript", "--force"),
                ),
            )


def imports(originals: Originals) -> Iterator[Hostile]:
    """Files of weights that the tests of import know, for a network and for a module."""
    for name, (make, _, _) in HOSTILE.items():

        def spoil(folder: Path, n: str = name, m: Callable[[], bytes] = make) -> None:
            (folder / n).write_bytes(m())

        whose: dict[str, Command] = {"wave": ("import", name, "--name=other")}
        whose |= {model: export_command(model, f"--weights={name}") for model in MODULES}
        for model, command in whose.items():
            case = f"{model}: weights of others in {name}"
            yield Hostile(case, model, spoil, (command,), never=(command,))
