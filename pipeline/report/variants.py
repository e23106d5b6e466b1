"""The table of variants: what each weighs and costs, beside its float32 bundle."""

from collections.abc import Iterable

from pipeline.contract import Bundle
from pipeline.contract.files import ONNX_FILE
from pipeline.report.grid import Grid


def variants_table(pairs: Iterable[tuple[Bundle, Bundle]]) -> Grid:
    """One row for each score of each variant, given as pairs of a bundle and its variant."""
    table = Grid("Variants", "variant", keys=2)
    table.add_column("score on held-out data", "words")
    for title in ("ONNX file", "float32", "nearest", "compensated"):
        table.add_column(title)
    for bundle, found in pairs:
        variant = found.manifest.variant
        if variant is None:
            continue
        size = found.manifest.files[ONNX_FILE].bytes / bundle.manifest.files[ONNX_FILE].bytes
        name, share = f"{variant.of}/{variant.weights}", f"{size:.0%}"
        for score in variant.scores:
            numbers = (score.float32, score.nearest, score.compensated)
            cells = ["" if one is None else f"{one:.4g}" for one in numbers]
            table.add_row(name, score.name, share, *cells)
    return table
