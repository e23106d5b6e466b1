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
