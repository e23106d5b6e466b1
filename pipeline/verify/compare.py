"""The distance of a model's results from the answer to a case."""

from collections.abc import Sequence

from pipeline.contract.law import FLOAT32, Deviation, Tolerance, allowed, deviation
from pipeline.contract.tensors import Tensors
from pipeline.verify.answer import Answer


def deviations(
    found: Sequence[Tensors], answer: Answer, tolerance: Tolerance = FLOAT32
) -> dict[str, list[Deviation]]:
    """The deviations of the results of :func:`replay` from the exact ones, by output name.

    Raises:
        ValueError: a tensor has another shape than the reference's.
    """
    several = len(found) > 1
    return {
        spec.name: [
            deviation(
                f"call {number}, {spec.name}" if several else spec.name,
                call[spec.name],
                truth[spec.name],
                allowed(truth[spec.name], answer.own[spec.name], tolerance),
            )
            for number, (call, truth) in enumerate(zip(found, answer.exact, strict=True), 1)
        ]
        for spec in answer.contract.outputs
    }
