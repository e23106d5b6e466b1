"""Lookup of models by name or by path, for all commands and :func:`pipeline.load`."""

import re
from pathlib import Path

from pipeline.errors import UsageError, unknown


def find_models(root: Path, file: str, names: tuple[str, ...], made_by: str) -> list[Path]:
    """The folders of ``names``, or all folders under ``root`` that contain ``file``.

    Each of ``names`` is the name of a folder under ``root``, or the path of a folder anywhere; a
    name that could be either is taken as the one under ``root``. Paths are not checked: reading
    them raises an error if they hold no model.

    Raises:
        UsageError: there are no models, a name is unknown, or two folders have the same name.
    """
    from pipeline.config import preset_order

    known = sorted((path.parent.name for path in root.glob(f"[!.]*/{file}")), key=preset_order)
    if not names and not known:
        raise UsageError(f"{root} holds no model; run 'pipeline {made_by}' first")
    folders: dict[str, Path] = {}
    for name in names or known:
        folder = _find(root, file, name, known, made_by)
        twin = folders.setdefault(folder.name, folder)
        if twin.resolve() != folder.resolve():
            raise UsageError(f"{twin} and {folder} have the same name; give them one at a time")
    return list(folders.values())


def is_on_hub(name: str) -> bool:
    """Whether ``name`` is that of a repository, ``user/repo``, and of no place on this machine."""
    is_repository = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name, re.ASCII)
    return is_repository is not None and not Path(name).exists() and not Path(name).parent.exists()


def _find(root: Path, file: str, name: str, known: list[str], made_by: str) -> Path:
    if name in known:
        return root / name
    path = Path(name)
    if path.name != name or (path / file).is_file():  # a path, not a name
        return path if path.name not in ("", "..") else path.resolve()
    if not known:
        raise UsageError(
            f"{root} holds no model; run 'pipeline {made_by}' first, or give the path of a model"
        )
    raise unknown(f"model in {root}", name, known)
