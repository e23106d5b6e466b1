"""Lookup of models by name or by path, for all commands and :func:`pipeline.load`."""

import re
from pathlib import Path

from pipeline.errors import UsageError, unknown


def find_models(
    root: Path, file: str, names: tuple[str, ...], made_by: str, variants: bool = False
) -> list[Path]:
    """The folders of ``names``, or all folders under ``root`` that contain ``file``.

    Each of ``names`` is the name of a folder under ``root``, or the path of a folder anywhere; a
    name that could be either is taken as the one under ``root``. Paths are not checked: reading
    them raises an error if they hold no model.

    A model may have variants, which are folders inside of its own, with names such as
    ``sine-lstm/int8``. Where nothing is named, they are among all if ``variants`` is set.

    Raises:
        UsageError: there are no models, a name is unknown, or two folders have the same name.
    """
    from pipeline.config import preset_order

    models = sorted((path.parent.name for path in root.glob(f"[!.]*/{file}")), key=preset_order)
    known = [one for model in models for one in (model, *variants_of(root / model, file))]
    if not names and not known:
        raise UsageError(f"{root} holds no model; run 'pipeline {made_by}' first")
    folders: dict[str, Path] = {}
    for name in names or (known if variants else models):
        folder = _find(root, file, name, known, made_by)
        twin = folders.setdefault(model_name(folder, file), folder)
        if twin.resolve() != folder.resolve():
            raise UsageError(f"{twin} and {folder} have the same name; give them one at a time")
    return list(folders.values())


def variants_of(folder: Path, file: str) -> list[str]:
    """The names of the variants of the model in ``folder``, the largest type first."""
    found = [path.parent.name for path in folder.glob(f"[!.]*/{file}")]
    return [f"{folder.name}/{name}" for name in sorted(found, key=_bits, reverse=True)]


def model_name(folder: Path, file: str) -> str:
    """The name of the model in ``folder``, by its ``file``; a variant's begins with its model's."""
    is_variant = (folder.parent / file).is_file()
    return f"{folder.parent.name}/{folder.name}" if is_variant else folder.name


def _bits(name: str) -> tuple[int, str]:
    """Sorting key of the names of variants: the number in it, then the name."""
    digits = re.search(r"\d+", name)
    return int(digits[0]) if digits else 0, name


def is_on_hub(name: str, root: Path = Path("exported")) -> bool:
    """Whether ``name`` is that of a repository, ``user/repo``, and of no place on this machine.

    ``root`` is the folder in which names are looked for here.
    """
    is_repository = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name, re.ASCII)
    places = (Path(name), Path(name).parent, root / name)
    return is_repository is not None and not any(place.exists() for place in places)


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
