"""The models that a command is given by name."""

from pathlib import Path

from pipeline.errors import UsageError, unknown


def find_models(root: Path, file: str, names: tuple[str, ...], made_by: str) -> list[Path]:
    """The folders under ``root`` that hold ``file``: those of ``names``, or all of them.

    Raises:
        UsageError: there are none, or none of that name.
    """
    from pipeline.config import preset_order

    found = (path.parent.name for path in root.glob(f"[!.]*/{file}"))
    known = sorted(found, key=preset_order)
    if not known:
        raise UsageError(f"{root} holds no model; run 'pipeline {made_by}' first")
    for name in names:
        if name not in known:
            raise unknown(f"model in {root}", name, known)
    return [root / name for name in names or known]


def find_bundle(root: Path, file: str, name: str) -> Path:
    """The folder of one bundle: of that ``name`` under ``root``, or ``name`` is its path.

    Raises:
        UsageError: there is neither.
    """
    path = Path(name)
    is_plain = path.name == name
    if not is_plain or ((path / file).is_file() and not (root / name / file).is_file()):
        return path
    return find_models(root, file, (name,), made_by="export")[0]
