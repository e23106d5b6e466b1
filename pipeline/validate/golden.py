"""The golden numbers of a bundle, recomputed from its weights and compared.

Clients are tested against these numbers, so a bundle with wrong ones must fail: the calls of
``golden.json`` are recomputed from their inputs, and the ONNX test data from the held-out input.
"""

from collections.abc import Iterator

import numpy as np
import onnx

from pipeline.bundle import Bundle
from pipeline.bundle.golden import backend_test_files, golden_calls
from pipeline.contract.files import GOLDEN_FILE
from pipeline.contract.golden import trajectories
from pipeline.contract.law import Array
from pipeline.errors import MalformedError, ParityError
from pipeline.verify import Reference

_BITS = 2  # allowed units in the last place of float32: processors differ in how float64 rounds
_ROUNDING = 1e-9  # allowed share of a tensor's largest number, for sums whose terms cancel


def require_golden(bundle: Bundle, reference: Reference) -> None:
    """Compare ``golden.json`` and the ONNX test data of ``bundle`` with ``reference``.

    Raises:
        ParityError: a number is not the one that the weights give; the message names its place.
        MalformedError: a file is missing or not what it should be.
        IntegrityError: a file was changed.
    """
    for place, found, expected in (
        *_of_golden(bundle, reference),
        *_of_test_data(bundle, reference),
    ):
        if not agree(found, expected):
            raise ParityError(
                f"{bundle.folder / place}: the numbers are not those that the weights give; export "
                "it anew"
            )


def agree(found: Array, exact: Array) -> bool:
    """Whether two tensors differ by no more than the rounding of another processor.

    Tensors of other types than float32 must be equal.
    """
    if found.shape != exact.shape or found.dtype != exact.dtype:
        return False
    if found.dtype != np.float32:
        return bool((found == exact).all())
    largest = np.abs(exact).max(initial=0)
    allowed = _BITS * np.spacing(np.abs(exact)) + np.float32(_ROUNDING) * largest
    return bool((np.abs(found - exact) <= allowed).all())


def _of_golden(bundle: Bundle, reference: Reference) -> Iterator[tuple[str, Array, Array]]:
    """The place, the stored and the recomputed array of every result in ``golden.json``."""
    names = [spec.name for spec in reference.contract.data_inputs]
    for stored in trajectories(bundle.golden(), bundle.manifest):
        pieces = [{name: call[name] for name in names} for call in stored.calls]
        for call, recomputed in zip(
            stored.calls, golden_calls(reference, pieces, stored.states), strict=True
        ):
            for name, array in recomputed.outputs.items():
                yield f"{GOLDEN_FILE}, '{stored.name}', {name}", call[name], array


def _of_test_data(bundle: Bundle, reference: Reference) -> Iterator[tuple[str, Array, Array]]:
    """The place, the stored and the recomputed array of every tensor of the ONNX test data."""
    expected = backend_test_files(reference)
    for name in bundle.manifest.files:
        if name.startswith("onnx/test_data_set_") and name not in expected:
            raise MalformedError(f"{bundle.folder / name} is not test data; export it anew")
    for name, data in expected.items():
        (found_name, found), (own_name, own) = (
            _tensor(content, bundle.folder / name) for content in (bundle.read(name), data)
        )
        if found_name != own_name:
            raise MalformedError(f"{bundle.folder / name} is not {own_name}; export it anew")
        yield name, found, own


def _tensor(data: bytes, path: object) -> tuple[str, Array]:
    """Name and numbers of an ONNX tensor, which holds its own data."""
    try:
        tensor = onnx.TensorProto.FromString(data)
        return tensor.name, onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # protobuf, onnx and numpy raise types of their own
        raise MalformedError(f"{path} is no tensor of ONNX; export it anew") from error
