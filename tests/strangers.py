"""Bundles of strangers, whose digests are all right, and the keys of those who sign them."""

import io
import shutil
import warnings
import zipfile
from pathlib import Path

import torch
from hostile import CANARY
from tiny import installed
from torch import Tensor, nn

from pipeline.bundle import Bundle, open_bundle
from pipeline.bundle.write import file_entry
from pipeline.contract.files import MANIFEST_FILE, TORCHSCRIPT_FILE
from pipeline.seal import sealed


class _Trap(nn.Module):
    """Writes the canary when its file is loaded."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.training = state[1]
        self.weight = torch.from_file("canary", True, 1)


class _Hostile(nn.Module):
    """Writes the canary when it is loaded and, should that be noticed, when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.trap = _Trap()

    def forward(self, input: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.trap(input), state + torch.from_file("canary", True, 1)


def hostile_torchscript() -> bytes:
    assert CANARY == "canary"  # TorchScript reads no variables of Python
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        torch.jit.save(torch.jit.script(_Hostile()), buffer)
    return buffer.getvalue()


def of_another_hand(archive: bytes) -> bytes:
    """TorchScript that does the same in other bytes: with another date in the archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name, (2001, 1, 1, 0, 0, 0)), source.read(name))
    return buffer.getvalue()


def with_file(bundle: Bundle, folder: Path, name: str, data: bytes) -> Bundle:
    """A copy of ``bundle`` in ``folder`` with other ``data`` in a file, and every digest right."""
    shutil.copytree(bundle.folder, folder)
    (folder / name).write_bytes(data)
    manifest = open_bundle(folder).manifest
    files = {**manifest.files, name: file_entry(data)}
    (folder / MANIFEST_FILE).write_bytes(sealed(manifest.model_copy(update={"files": files})))
    return open_bundle(folder)


def with_torchscript(bundle: Bundle, folder: Path, data: bytes, torch_version: str = "") -> Path:
    """A copy of ``bundle`` in ``folder`` with ``data`` as TorchScript, and every digest right."""
    shutil.copytree(bundle.folder, folder)
    (folder / TORCHSCRIPT_FILE).write_bytes(data)
    manifest = open_bundle(folder).manifest
    files = {**manifest.files, TORCHSCRIPT_FILE: file_entry(data)}
    versions = manifest.versions | ({"torch": torch_version} if torch_version else {})
    changed = manifest.model_copy(update={"files": files, "versions": versions})
    (folder / MANIFEST_FILE).write_bytes(sealed(changed))
    return folder


def make_keys(folder: Path, name: str = "", password: bytes = b"") -> tuple[Path, Path]:
    """A private and a public key in ``folder``, whose names begin with ``name``."""
    serialization = installed("cryptography.hazmat.primitives.serialization")
    ec = installed("cryptography.hazmat.primitives.asymmetric.ec")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private, public = folder / f"{name}private.pem", folder / f"{name}public.pem"
    private.write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public
