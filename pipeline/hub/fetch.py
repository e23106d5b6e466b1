"""Fetching a bundle from the Hugging Face Hub, its digests checked on the way in.

The library keeps what it has downloaded in its own cache, as links, so that it is there without a
network, too. The bundle is a folder of regular files beside that cache, one for every commit, into
which only what the manifest vouches for is written.
"""

import glob
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from pipeline.contract.bundle import parse_manifest
from pipeline.contract.files import CARD_FILE, MANIFEST_FILE, SIGNATURE_FILE, VALIDATION_FILE
from pipeline.contract.front_matter import LIMIT as FRONT_MATTER_LIMIT
from pipeline.contract.front_matter import vouched
from pipeline.contract.manifest import Manifest
from pipeline.errors import IntegrityError, MalformedError, UsageError
from pipeline.hub.library import HUB, LIBRARY, hub
from pipeline.reading import JSON_LIMIT
from pipeline.storage import exclusive, sha256, write_folder

_BESIDE = {VALIDATION_FILE: JSON_LIMIT, SIGNATURE_FILE: 2**20}  # what a manifest does not list


def fetch(repository: str, revision: str | None = None) -> Path:
    """The folder of the bundle in ``repository`` (``user/name``), downloaded if it is not there.

    ``revision`` is a branch, a tag or a commit; None is the newest.

    Raises:
        UsageError: there is no such repository or revision, it holds no bundle, or is not open.
        UnavailableError: ``huggingface_hub`` is not installed, or the Hub cannot be reached.
        IntegrityError: a file is not the one that the manifest lists.
        MalformedError: the manifest is malformed, or a file that it lists is missing.
        UnsafeError: the manifest lists a file outside the folder.
        StorageError: the file system refused.
    """
    with hub(repository) as library:
        from huggingface_hub import constants

        sizes = _sizes(library, repository, revision)
        where = Path(f"{repository} on {HUB}")
        source = _download(library, repository, revision, sizes, {MANIFEST_FILE: JSON_LIMIT})
        if not (source / MANIFEST_FILE).is_file():
            raise UsageError(f"{where} holds no bundle; name one that was pushed")
        content = (source / MANIFEST_FILE).read_bytes()
        manifest = parse_manifest(content, where / MANIFEST_FILE)
        limits = {name: entry.bytes for name, entry in manifest.files.items()}
        limits[CARD_FILE] += FRONT_MATTER_LIMIT
        _download(library, repository, revision, sizes, limits | _BESIDE)
        place = library.cached_assets_path(
            LIBRARY, repository, source.name, assets_dir=constants.HF_ASSETS_CACHE
        )
    with exclusive(place):
        if not (place / MANIFEST_FILE).is_file():
            write_folder(place, {**_checked(source, manifest, where), MANIFEST_FILE: content})
    return Path(place)


def _sizes(library: ModuleType, repository: str, revision: str | None) -> dict[str, int] | None:
    """The sizes of the files in the repository, or None if the Hub cannot be reached now."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        info = library.HfApi().model_info(repository, revision=revision, files_metadata=True)
    except HfHubHTTPError:
        raise
    except Exception:  # of connections, each of a type of its own
        return None
    return {file.rfilename: file.size or 0 for file in info.siblings}


def _download(
    library: ModuleType,
    repository: str,
    revision: str | None,
    sizes: Mapping[str, int] | None,
    limits: Mapping[str, int],
) -> Path:
    """The cached folder of a commit with those files of ``limits`` that the repository has.

    ``limits`` are the largest sizes; a larger file is not downloaded. Without ``sizes``, only what
    is in the cache is there.
    """
    for name, limit in limits.items():
        if (size := (sizes or {}).get(name, 0)) > limit:
            raise IntegrityError(
                f"{name} of {repository} on {HUB} has {size:,} bytes, and at most {limit:,} are "
                "vouched for; ask its owner"
            )
    return Path(
        library.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=[glob.escape(name) for name in limits],
            local_files_only=sizes is None,
        )
    )


def _checked(source: Path, manifest: Manifest, where: Path) -> dict[str, bytes]:
    """The files that ``manifest`` lists and those beside it, if each is what it should be."""
    files = {}
    for name, entry in manifest.files.items():
        if not (source / name).is_file():
            raise MalformedError(f"{where} lacks {name}, which its manifest lists; ask its owner")
        files[name] = vouched(name, (source / name).read_bytes())
        if sha256(files[name]) != entry.sha256:
            raise IntegrityError(
                f"{name} of {where} is not the file that its manifest lists; do not use it"
            )
    beside = [name for name in _BESIDE if (source / name).is_file()]
    return files | {name: (source / name).read_bytes() for name in beside}
