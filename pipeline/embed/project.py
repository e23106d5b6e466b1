"""Write the project of a target: its client as it is in ``clients/``, and the bundle's files."""

from pathlib import Path

from pipeline.bundle import Bundle
from pipeline.contract.manifest import GOLDEN_FILE
from pipeline.embed.targets import CLIENTS, Target
from pipeline.errors import StorageError
from pipeline.seal import sealed
from pipeline.signature import MANIFEST_FILE
from pipeline.storage import storage_errors, update_file

MODEL = "model"  # the folder of a project that holds the files of the bundle


def project_files(bundle: Bundle, target: Target) -> dict[str, bytes]:
    """Every file of the project, by its path; the same bytes for the same bundle.

    Raises:
        IntegrityError: a file of the bundle was changed.
        MalformedError: a file of the bundle is missing.
        UsageError: the target cannot run such a model.
    """
    files = {}
    for name in target.clients:
        folder = CLIENTS / name
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[path.relative_to(folder).as_posix()] = path.read_bytes()
    if target.generated is not None:
        files |= target.generated(bundle)
    names = [GOLDEN_FILE, *filter(None, [target.file])]
    loop = bundle.manifest.loop
    if loop is not None and loop.name in target.loops:
        names.append(loop.file)
    files |= {f"{MODEL}/{name}": bundle.read(name) for name in names}
    files[f"{MODEL}/{MANIFEST_FILE}"] = sealed(bundle.manifest)
    return files


def write_project(bundle: Bundle, target: Target, folder: Path, force: bool = False) -> list[str]:
    """Write the project into ``folder``; return its files.

    Files that are as they should be are left alone, so that a build goes on from what it has.

    Raises:
        StorageError: the folder holds something already and ``force`` is not given, or cannot be
            written.
        PipelineError: as :func:`project_files`; nothing is written then.
    """
    files = project_files(bundle, target)
    with storage_errors(folder):
        is_taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if is_taken and not force:
        raise StorageError(
            f"{folder} is not empty; choose another folder, or --force to replace what is of the "
            "project"
        )
    for name, data in files.items():
        update_file(folder / name, data)
    return list(files)
