"""The model card of a variant: that of its float32 bundle, with what is different."""

from pipeline.contract.small_weights import LARGEST
from pipeline.contract.variant import Variant
from pipeline.escaping import markdown


def variant_card(card: str, variant: Variant, name: str, share: float) -> str:
    """The card of the variant ``name``, made of the ``card`` of its float32 bundle.

    ``share`` is the size of its ONNX file beside that one's.
    """
    title, *sections = card.split("\n## ")
    kept = [section for section in sections if not section.startswith("Scores\n")]
    _, _, what = title.partition("\n")
    first = f"# {markdown(name)}\n{what.rstrip()}\n\n{_what(variant, share)}\n"
    return "\n## ".join([first, _scores(variant), *kept])


def _what(variant: Variant, share: float) -> str:
    kinds = [weight.type for weight in variant.stored.values()]
    counted = ", ".join(
        f"{kinds.count(kind)} in {kind}" for kind in ("int4", "int8", "float16") if kind in kinds
    )
    scales = (
        "Each row has a scale; whole numbers were rounded "
        + ("to the nearest. " if variant.rounding == "nearest" else "with errors compensated. ")
        if LARGEST.keys() & set(kinds)
        else ""
    )
    return (
        f"This is {markdown(variant.of)} with its weights stored small: {counted or 'none'}, all "
        f"others in float32. {scales}Arithmetic is in float32. The ONNX file is {share:.0%} of the "
        "float32 one."
    )


def _scores(variant: Variant) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.6g}"

    tried = [
        rounding
        for rounding in ("nearest", "compensated")
        if any(getattr(score, rounding) is not None for score in variant.scores)
    ]
    head = " | ".join(["held-out data", "float32", *(f"{variant.weights}, {one}" for one in tried)])
    rows = "".join(
        " | ".join(
            [
                f"| {score.name}",
                number(score.float32),
                *(number(getattr(score, one)) for one in tried),
            ]
        )
        + " |\n"
        for score in variant.scores
    )
    rule = "|".join(["---"] * (2 + len(tried)))
    return f"Scores\n\n| {head} |\n|{rule}|\n{rows}"
