"""Writing the project of a target: a copy of its client, and files of the bundle."""

from pathlib import Path
from typing import Literal

from pipeline.bundle import Bundle
from pipeline.contract.files import GOLDEN_FILE, INITIAL_FILE, MANIFEST_FILE
from pipeline.embed.sums import SUMS_FILE, digests, read_sums, sums_file
from pipeline.embed.target import Target
from pipeline.errors import IntegrityError, StorageError
from pipeline.storage import exclusive, sha256, storage_errors, update_folder
from pipeline.trust import Trust

MODEL = "model"  # the folder of a project that holds the files of the bundle


def project_files(bundle: Bundle, target: Target, trust: Trust | None = None) -> dict[str, bytes]:
    """All files of the project by path; equal bundles give equal bytes.

    ``trust`` says which TorchScript may be copied; by default, only what tracing here gives again.

    Raises:
        UnsafeError: code in the bundle is not trusted.
        IntegrityError: a file of the bundle was changed.
        MalformedError: a file of the bundle is missing.
        UsageError: the target cannot run such a model.
    """
    target.require_trusted(bundle, trust or Trust())
    files = {}
    for folder in target.clients:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[path.relative_to(folder).as_posix()] = path.read_bytes()
    if target.generated is not None:
        files |= target.generated(bundle)
    names = [GOLDEN_FILE, *filter(None, [target.file])]
    if INITIAL_FILE in bundle.manifest.files:
        names.append(INITIAL_FILE)
    loop = bundle.manifest.loop
    if loop is not None and loop.name in target.loops:
        names.append(loop.file)
    files |= {f"{MODEL}/{name}": bundle.read(name) for name in names}
    files[f"{MODEL}/{MANIFEST_FILE}"] = bundle.content
    return {**files, SUMS_FILE: sums_file(files)}


def write_project(
    bundle: Bundle, target: Target, folder: Path, force: bool = False, trust: Trust | None = None
) -> tuple[list[str], Literal["written", "unchanged"]]:
    """Write the project to ``folder``, whole or not at all; returns its files and the status.

    An unchanged project is not written again. With ``force``, files that were changed are replaced,
    and other files stay, so that a build continues from its earlier outputs.

    Raises:
        IntegrityError: files of the project were changed, or its ``SHA256SUMS`` is damaged, and
            ``force`` is not given.
        StorageError: the folder holds another project and ``force`` is not given, or holds
            something else, or it cannot be written.
        PipelineError: as :func:`project_files`; nothing is written then.
    """
    files = project_files(bundle, target, trust)
    with exclusive(folder):
        known = _known(folder, force)
        found = digests(folder, {**files, **known})
        new = {name: data for name, data in files.items() if found[name] != sha256(data)}
        kept = {name for name, digest in known.items() if found[name] == digest}
        old = kept - files.keys()
        if not force and len(kept) < len(known):
            raise _changed(folder, {name: found[name] for name in known if name not in kept})
        if not new and not old:
            return list(files), "unchanged"
        if not force and known:
            raise StorageError(
                f"{folder} holds the project of another model, target or version; choose another "
                "folder, or --force to replace what is of the project"
            )
        with storage_errors(folder):
            _refuse_current(folder)
        update_folder(folder, new, old)
    return list(files), "written"


def _known(folder: Path, force: bool) -> dict[str, str]:
    """The digests in ``SHA256SUMS`` of the project in ``folder``; empty if there are none.

    Raises:
        IntegrityError: ``SHA256SUMS`` is damaged, and ``force`` is not set.
        StorageError: the folder holds no project; or it holds a project of an earlier version,
            without digests, and ``force`` is not set.
    """
    with storage_errors(folder):
        if not folder.is_dir() or not any(folder.iterdir()):
            return {}
    try:
        known = read_sums(folder)
    except IntegrityError:
        if not force:
            raise
        return {}
    if known is not None:
        return known
    if not (folder / MODEL / MANIFEST_FILE).is_file():
        raise StorageError(f"{folder} is not empty and no project; choose another folder")
    if not force:
        raise StorageError(
            f"{folder} is not empty; choose another folder, or give --force to replace the files "
            "of the project"
        )
    return {}


def _changed(folder: Path, found: dict[str, str | None]) -> IntegrityError:
    parts = [
        f"{name} {'is missing' if digest is None else 'was changed'}"
        for name, digest in found.items()
    ]
    return IntegrityError(
        f"{folder}: {', '.join(parts)}; --force writes the files of the project anew"
    )


def _refuse_current(folder: Path) -> None:
    """Make sure that the working folder of this process is not in ``folder``, which is replaced.

    Raises:
        StorageError: it is.
    """
    here = Path.cwd()
    if folder.exists() and any(folder.samefile(place) for place in (here, *here.parents)):
        raise StorageError(f"{folder} cannot be replaced from within; run in another folder")
