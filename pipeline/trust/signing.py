"""The signature of a bundle, ``model.sig``, made and verified by OpenSSF's model-signing.

It covers ``manifest.json`` and every file that it lists, under their names in the bundle. It does
not cover ``validation.json``, which changes with every validation. The library reads copies of the
checked files, so it opens no file of a stranger. The format is a Sigstore bundle around an in-toto
statement:
https://github.com/ossf/model-signing-spec.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.bundle import Bundle
from pipeline.contract.files import MANIFEST_FILE, SIGNATURE_FILE, VALIDATION_FILE
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    UnavailableError,
    UsageError,
    one_line,
)
from pipeline.packages import how_to_install
from pipeline.reading import read_inside
from pipeline.storage import storage_errors

_NOT_SIGNED = (SIGNATURE_FILE, VALIDATION_FILE)
_LIMIT = 2**20  # largest signature or key in bytes; a bundle's signature has about 10,000


def sign_bundle(bundle: Bundle, key: Path) -> bytes:
    """The content of ``model.sig`` for ``bundle``, signed with the private key in the file ``key``.

    Raises:
        UsageError: there is no such file.
        MalformedError: ``key`` holds no private key of an elliptic curve that can be used, or one
            with a password; or a file of the bundle is missing.
        IntegrityError: a file of the bundle was changed.
        UnavailableError: model-signing is not installed.
    """
    library = _library()
    _require_file(key)
    try:
        config = library.signing.Config().use_elliptic_key_signer(private_key=key)
    except OSError as error:
        raise MalformedError(f"cannot read {key}: {(error.strerror or '').lower()}") from error
    except TypeError as error:
        raise MalformedError(
            f"{key} is protected by a password; 'openssl ec -in {key.name} -out plain.pem' writes "
            "it without"
        ) from error
    except Exception as error:  # what cryptography and the library say of other files and keys
        raise _no_key("private", key, error) from error
    config.set_hashing_config(library.hashing.Config().set_ignored_paths(paths=_NOT_SIGNED))
    with _copy(bundle) as folder:
        signature = folder.parent.with_name(SIGNATURE_FILE)
        config.sign(folder, signature)
        return signature.read_bytes()


class PublicKey:
    """The public key of somebody whom the user trusts, read from a PEM file.

    Raises:
        UsageError: there is no such file.
        MalformedError: the file holds no public key of an elliptic curve that can be used.
        UnavailableError: model-signing is not installed.
    """

    def __init__(self, path: Path) -> None:
        library = _library()
        _require_file(path)
        self.path = path
        self._config = library.verifying.Config()
        try:
            self._config.use_elliptic_key_verifier(public_key=path)
        except OSError as error:
            raise MalformedError(f"cannot read {path}: {(error.strerror or '').lower()}") from error
        except Exception as error:  # what cryptography and the library say of other files and keys
            raise _no_key("public", path, error) from error
        self._config.set_hashing_config(_hash_everything(library))

    def verify(self, bundle: Bundle) -> None:
        """Make sure that the owner of the key has signed ``bundle`` in its present state.

        Raises:
            IntegrityError: the signature is missing, by another key, or for other files; or a file
                of the bundle was changed.
            MalformedError: the signature is not a regular file or too long; or a file of the
                bundle is missing.
            UnsafeError: the signature is a link.
        """
        path = bundle.folder / SIGNATURE_FILE
        if not os.path.lexists(path):
            raise IntegrityError(f"{bundle.folder} carries no signature; 'pipeline sign' makes one")
        data = read_inside(bundle.folder, SIGNATURE_FILE, "the signature", _LIMIT)
        with _copy(bundle) as folder, redirect_stdout(StringIO()):
            signature = folder.parent.with_name(SIGNATURE_FILE)
            signature.write_bytes(data)
            try:
                self._config.verify(folder, signature)
            except Exception as error:  # the library raises many types for invalid signatures
                raise IntegrityError(
                    f"{path} does not verify with {self.path}: another key made it, or for other "
                    "files; ask who signed it for both anew"
                ) from error


def _library() -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise UnavailableError(
            "model-signing, which makes and verifies signatures, is not whole here "
            f"({one_line(error)}); run {how_to_install('model-signing', 'pyopenssl')}"
        ) from error
    return model_signing


def _hash_everything(library: ModuleType) -> Any:
    """The hashing of files for verification, which ignores a signature's list of excluded files."""

    class Everything(library.hashing.Config):  # type: ignore[name-defined,misc]
        def add_ignored_paths(self, *, model_path: Any, paths: Iterable[Any]) -> None:
            """Exclude no file."""

    return Everything().set_ignored_paths(paths=(), ignore_git_paths=False)


def _no_key(kind: str, path: Path, error: Exception) -> MalformedError:
    return MalformedError(
        f"{path} holds no {kind} key of the curves P-256, P-384 or P-521 as PEM "
        f"({one_line(error)}); 'pipeline sign --help' shows how keys are made"
    )


def _require_file(key: Path) -> None:
    """Raise an error unless ``key`` is a small regular file; the library would read a device."""
    if not key.exists():
        raise UsageError(f"--key {key}: there is no such file; 'pipeline sign --help' shows how")
    if not key.is_file() or key.stat().st_size > _LIMIT:
        raise MalformedError(f"{key} is no file of at most {_LIMIT:,} bytes, and so no key")


@contextmanager
def _copy(bundle: Bundle) -> Iterator[Path]:
    """Yield a temporary folder with checked copies of the files that a signature covers."""
    files = {name: bundle.read(name) for name in bundle.manifest.files if name not in _NOT_SIGNED}
    files[MANIFEST_FILE] = read_inside(bundle.folder, MANIFEST_FILE, "the manifest")
    with tempfile.TemporaryDirectory(prefix="pipeline-signed-") as parent:
        folder = Path(parent, "files", bundle.folder.resolve().name or "bundle")
        with storage_errors(folder):
            for name, data in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        yield folder
