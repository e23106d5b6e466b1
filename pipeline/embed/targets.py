"""The list of targets: every folder beside this file whose ``__init__`` defines ``TARGET``."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from pipeline import embed
from pipeline.embed.target import Target
from pipeline.errors import unknown

_INCLUDE = Path("/usr/include")


def _found() -> dict[str, Target]:
    """The targets by name: those that run ONNX, then code, then weights that are compiled in."""
    folders = [item.name for item in iter_modules(embed.__path__) if item.ispkg]
    modules = [import_module(f"{embed.__name__}.{folder}") for folder in folders]
    targets = [module.TARGET for module in modules if hasattr(module, "TARGET")]
    targets.sort(key=lambda target: (not target.file, target.runs_code, target.name))
    return {target.name: target for target in targets}


TARGETS = _found()
RUN_HERE = {name: target for name, target in TARGETS.items() if target.is_run_here}


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TARGETS:
        raise unknown("target", name, TARGETS)
    return TARGETS[name]


def missing_packages() -> list[str]:
    """The Debian packages that targets need and that are not installed, for the Makefile."""
    missing: list[str] = []
    for target in TARGETS.values():
        missing += [program.debian for program in target.programs if program.find() is None]
        missing += [
            package for path, package in target.headers.items() if not (_INCLUDE / path).exists()
        ]
    return list(dict.fromkeys(missing))
