"""Uploading a bundle to the Hugging Face Hub."""

import os
from dataclasses import dataclass
from typing import Any

from pipeline.contract import Bundle
from pipeline.contract.files import CARD_FILE, MANIFEST_FILE, SIGNATURE_FILE, VALIDATION_FILE
from pipeline.contract.front_matter import with_front_matter
from pipeline.errors import ParityError
from pipeline.hub.card import front_matter
from pipeline.hub.library import hub
from pipeline.reading import read_inside
from pipeline.validate.current import last_validation


@dataclass(frozen=True)
class Pushed:
    """What was uploaded: the files of one commit, and the page of the repository."""

    url: str
    commit: str
    files: tuple[str, ...]
    has_parity: bool


def push(
    bundle: Bundle, repository: str, license_id: str | None = None, private: bool = False
) -> Pushed:
    """Upload ``bundle`` as one commit to ``repository``, which is created if it is not there.

    The user is the one who has logged in with ``hf auth login``, or whose token is in ``HF_TOKEN``.
    The files are those that the manifest lists, as they are, with the signature and the validation
    where there are any; the card gets front matter with the scores, and with the parity if this
    user has validated the bundle.

    Raises:
        ParityError: the last validation found other numbers than PyTorch's.
        UsageError: nobody has logged in, or this user may not write to the repository.
        UnavailableError: ``huggingface_hub`` is not installed, or the Hub cannot be reached.
        PipelineError: a file of the bundle is missing or was changed.
    """
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    files[MANIFEST_FILE] = bundle.content
    for name in (VALIDATION_FILE, SIGNATURE_FILE):
        if os.path.lexists(bundle.folder / name):
            files[name] = read_inside(bundle.folder, name, name)
    validation = last_validation(bundle)
    if validation is not None and not validation.passed:
        raise ParityError(
            f"{bundle.folder} did not pass its last validation; 'pipeline validate' shows where"
        )
    with hub(repository) as library:
        api = library.HfApi()
        url = api.create_repo(repository, private=private or None, exist_ok=True)
        page = api.model_info(repository).card_data
        kept: dict[str, Any] = page.to_dict() if page else {}
        yaml = front_matter(bundle.manifest, validation, license_id, kept)
        files[CARD_FILE] = with_front_matter(yaml, files[CARD_FILE])
        commit = api.create_commit(
            repository,
            [library.CommitOperationAdd(name, data) for name, data in files.items()],
            commit_message=f"Bundle {bundle.manifest.name}",
        )
    return Pushed(str(url), str(commit.oid), tuple(files), validation is not None)
