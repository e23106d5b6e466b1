"""The last validation of a bundle, and whether validating again would give the same result."""

import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import onnxruntime

from pipeline.checkpoint import versions
from pipeline.contract import Bundle
from pipeline.errors import IntegrityError, MalformedError, UnsafeError
from pipeline.runtimes.catalog import Runtimes, optional_versions
from pipeline.validate.own import was_found_here
from pipeline.validate.records import Validation, read_validation


def validation_versions(runtimes: Iterable[str] = ()) -> dict[str, str]:
    """Versions that affect a validation's results, with those of the optional ``runtimes``."""
    always = {**versions(), "onnxruntime": onnxruntime.__version__}
    return always | optional_versions(runtimes)


@cache
def machine() -> str:
    """The processor, the number of CPUs, and the operating system."""
    name = platform.processor()
    if platform.system() == "Linux":
        facts = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        found = (line.partition(":")[2] for line in facts if line.startswith("model name"))
        name = next(found, name).strip()
    elif platform.system() == "Darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(asked, capture_output=True, text=True).stdout.strip() or name
    system = f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"
    return f"{name}, {system}" if name else system


def current_validation(bundle: Bundle, runtimes: Runtimes) -> Validation | None:
    """The last validation of the bundle if it passed and validating now would repeat it, or None.

    It would repeat it if runtimes, providers, versions and machine are the same, and no file that
    was not trusted then may run now.
    """
    found = last_validation(bundle)
    if found is None or not found.passed:
        return None
    if runtimes.trust.is_given and any(row.unsafe for row in found.rows):
        return None
    done = (found.runtimes, found.providers, found.versions, found.machine)
    asked = (runtimes.names, runtimes.providers, validation_versions(runtimes.names), machine())
    return found if done == asked else None


def last_validation(bundle: Bundle) -> Validation | None:
    """The validation in the bundle, or None if it is of other files or not by this user."""
    try:
        found = read_validation(bundle)
    except (MalformedError, IntegrityError, UnsafeError):
        return None
    if found is None or found.bundle_sha256 != bundle.digest or not was_found_here(found):
        return None
    return found
