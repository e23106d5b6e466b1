"""``pipeline export NAME --weights int8``: variants of bundles, with their weights stored small."""

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from pipeline.cli.options import next_command
from pipeline.errors import UsageError, unknown

if TYPE_CHECKING:
    from pipeline.contract import Bundle
    from pipeline.contract.small_weights import SmallType
    from pipeline.trust import Trust


def export_variants(
    names: tuple[str, ...],
    weights: str,
    max_loss: float | None,
    trust: "Trust",
    exported: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Write a variant of the bundles of ``names``, or of all, and say what it costs.

    Raises:
        UsageError: ``weights`` is no type that a variant can have.
        UnsafeError: a bundle is of a module whose TorchScript may not run by ``trust``.
    """
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.contract.small_weights import SmallType
    from pipeline.report.output import finish, say
    from pipeline.report.variants import variants_table

    if weights not in get_args(SmallType):
        if Path(weights).suffix or Path(weights).exists():
            raise UsageError(
                f"--weights {weights} is a file, which is for a module such as mynet.py:Denoiser; "
                f"name one, or give {', '.join(get_args(SmallType))} for a variant of a bundle"
            )
        raise unknown("type of weights", weights, get_args(SmallType))
    kind = cast("SmallType", weights)
    made = []
    for folder in find_bundles(exported, names):
        bundle = open_bundle(folder)
        variant, status = _export_one(bundle, kind, max_loss, trust, force)
        made.append((bundle, variant, status))
        say(f"{bundle.manifest.name}/{kind}: {status}{_kept(variant)}")
    finish(
        as_json,
        [
            {
                "name": variant.manifest.name,
                "status": status,
                "bundle": str(variant.folder),
                "variant": variant.manifest.variant.model_dump(mode="json"),
            }
            for _, variant, status in made
            if variant.manifest.variant is not None
        ],
        [variants_table([(bundle, variant) for bundle, variant, _ in made])],
        next_command("pipeline validate", tuple(f"{name}/{kind}" for name in names)),
    )


def _kept(bundle: "Bundle") -> str:
    variant = bundle.manifest.variant
    if variant is None or not variant.kept:
        return ""
    stay = "stays" if len(variant.kept) == 1 else "stay"
    return f"; {', '.join(variant.kept)} {stay} in float32"


def _export_one(
    bundle: "Bundle", kind: "SmallType", max_loss: float | None, trust: "Trust", force: bool
) -> "tuple[Bundle, str]":
    from pipeline.bundle.current import current_variant
    from pipeline.report.output import console

    if not force and (current := current_variant(bundle, kind, max_loss)):
        return current, "unchanged"
    if bundle.manifest.module is not None:
        trust.require(bundle)
    from pipeline.run.export import export_variant

    with console().status(f"exporting {bundle.manifest.name}/{kind}"):
        return export_variant(bundle, kind, max_loss), "exported"
