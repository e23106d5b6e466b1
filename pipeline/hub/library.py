"""The library ``huggingface_hub``, and its failures as errors of one line.

No message of a server is repeated: it might contain the token that was sent.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from types import ModuleType

from pipeline.errors import PipelineError, StorageError, UnavailableError, UsageError
from pipeline.packages import how_to_install
from pipeline.storage import advice

HUB = "the Hugging Face Hub"
LIBRARY = "recurrent-pipeline"  # the name by which this project is known there


@contextmanager
def hub(repository: str) -> Iterator[ModuleType]:
    """Yield the library for one task with ``repository``, without its bars, logs and warnings.

    Raises:
        UsageError: there is no such repository, revision or file, or it is not open to this user.
        UnavailableError: the library is not installed, or the Hub cannot be reached or refuses.
    """
    try:
        import huggingface_hub
        from huggingface_hub.utils import (
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )
    except ImportError as error:
        raise UnavailableError(
            f"{repository} is no folder here, and {HUB} needs huggingface_hub; run "
            f"{how_to_install('huggingface-hub')}"
        ) from error
    shows_bars = not are_progress_bars_disabled()
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    disable_progress_bars()
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield huggingface_hub
    except PipelineError:
        raise
    except Exception as error:
        raise _refusal(repository, error) from None  # its headers hold the token
    finally:
        logger.setLevel(level)
        if shows_bars:
            enable_progress_bars()


def _refusal(repository: str, error: Exception) -> PipelineError:
    """The error for what the library raised, in words of our own."""
    from huggingface_hub import errors

    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"{repository} on {HUB} has no such revision; leave it out")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, FileNotFoundError):
        return UsageError(f"{repository} on {HUB} holds no bundle; name one that was pushed")
    if isinstance(error, errors.GatedRepoError):
        return UsageError(f"{repository} on {HUB} is gated; ask for access on its page")
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{repository} is no name of a repository on {HUB}; use user/name")
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.LocalTokenNotFoundError) or status in (401, 403):
        return UsageError(
            f"{repository} on {HUB} is not open to you, or is not there; 'hf auth login' logs in"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return UsageError(f"{repository} is no folder here, and not on {HUB}; check the name")
    if status is not None:
        phrase = HTTPStatus(status).phrase if status in [*HTTPStatus] else "an unknown status"
        return UnavailableError(f"{HUB} answered {status} ({phrase}); try again later")
    if isinstance(error, OSError) and error.errno:
        return StorageError(f"cannot write the cache of {HUB}: {advice(error)}")
    return UnavailableError(
        f"{HUB} cannot be reached for {repository} ({type(error).__name__}); check the connection"
    )
