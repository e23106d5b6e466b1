"""How the tensors of a model look to Triton, whose batch is the first axis of every tensor.

The rules are those of the model configuration and of the sequence batcher:
https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md.
"""

from dataclasses import dataclass

from pipeline.contract import Bundle
from pipeline.contract.tensors import TensorSpec
from pipeline.errors import UsageError

_LARGEST_BATCH = 64  # requests in one call


@dataclass(frozen=True)
class Layout:
    """The tensors of a model as Triton has them.

    ``start`` is the name of the control input that is true in the first request of a sequence; it
    is empty for a model without states. ``batch`` is the axis of the requests that the server puts
    together, and ``max_batch`` their largest number. Without such an axis, ``batch`` is None,
    ``max_batch`` is 0, and every request is a call of its own.
    """

    start: str
    batch: str | None
    max_batch: int

    def batch_axis(self, spec: TensorSpec) -> int:
        """Where the model has the axis of the batch, which Triton has first; 0 without a batch."""
        return spec.shape.index(self.batch) if self.batch else 0

    def lacks_axis(self, spec: TensorSpec) -> bool:
        """Whether Triton needs one more axis of size 1 at the end, beside that of the batch."""
        return len(spec.shape) == (1 if self.batch else 0)

    def shape(self, spec: TensorSpec) -> tuple[int | str, ...]:
        """The shape of a tensor as the server gives and takes it, with the batch first."""
        rest = list(spec.shape)
        batch = [rest.pop(self.batch_axis(spec))] if self.batch else []
        return (*batch, *rest, *((1,) if self.lacks_axis(spec) else ()))

    def dims(self, spec: TensorSpec, one: str | None) -> list[int]:
        """The ``dims`` of the configuration: without the batch, and -1 for an axis of any size.

        ``one`` is an axis of rows that the server does not put together, so that its size is 1.
        """
        shape = self.shape(spec)[1 if self.batch else 0 :]
        return [size if isinstance(size, int) else 1 if size == one else -1 for size in shape]


def layout_of(bundle: Bundle) -> Layout:
    """The layout of a model.

    Requests are put together if every tensor has a row for each of them.

    Raises:
        UsageError: a state grows, or is of a type that the server's runtime cannot choose between;
            or the model needs several rows at once.
    """
    manifest = bundle.manifest
    specs = (*manifest.inputs, *manifest.outputs)
    states = [spec for spec in manifest.inputs if spec not in manifest.contract.data_inputs]
    rows = manifest.contract.batch
    for spec in states:
        if growing := [axis for axis in spec.shape if isinstance(axis, str) and axis != rows]:
            raise UsageError(
                f"{manifest.name} has the state {spec.name}, which may grow along {growing[0]}; "
                "Triton's states have one size here, use another target"
            )
        if spec.type == "uint64":
            raise UsageError(
                f"{manifest.name} has the state {spec.name} of type uint64, which cannot be reset "
                "in Triton; keep it as int64"
            )
    if rows and manifest.axes[rows].smallest > 1:
        raise UsageError(
            f"{manifest.name} needs {manifest.axes[rows].smallest} rows in every call, and a "
            "sequence in Triton is one row; export it with a smaller batch"
        )
    start = "START" if states else ""
    while start in {spec.name for spec in specs}:
        start += "_"
    if rows is None or any(rows not in spec.shape for spec in specs):
        return Layout(start, None, 0)
    return Layout(start, rows, min(manifest.axes[rows].largest or _LARGEST_BATCH, _LARGEST_BATCH))
