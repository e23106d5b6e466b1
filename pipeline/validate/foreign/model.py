"""Model files that were exported elsewhere, ONNX or TorchScript, called with lists of arrays."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx.external_data_helper import load_external_data_for_model

from pipeline.contract.file_samples import KEY, read
from pipeline.contract.tensors import ElementType, TensorSpec
from pipeline.errors import MalformedError, PipelineError, one_line
from pipeline.reading import read_file
from pipeline.runtimes.onnx_runtime import execution_providers, node_placement, open_session
from pipeline.runtimes.torchscript import OF_TENSORS, TorchScript
from pipeline.validate.foreign.indices import table_sizes

Array = NDArray[Any]

# What ONNX calls the types that can be compared; the others are called as in NumPy.
_TYPES: dict[str, ElementType] = {f"tensor({name})": name for name in get_args(ElementType)}
_TYPES |= {"tensor(float)": "float32", "tensor(double)": "float64"}


class ForeignModel(Protocol):
    """A model file that can be called; ``takes`` names its inputs in order."""

    path: Path
    data: bytes
    format: str
    runtime: str
    provider: str
    home: str
    takes: tuple[str, ...]
    optional: int
    """The number of inputs at the end of ``takes`` that may be left out."""

    def call(self, given: Sequence[Array]) -> list[Array]:
        """One call; errors of the runtime are not caught."""

    def placement(self, given: Sequence[Array]) -> dict[str, str]:
        """The provider of each recurrent node in one call; empty if the runtime has only one."""


class OnnxModel:
    """An ONNX graph in ONNX Runtime, with the names, types and shapes that it declares.

    Raises:
        MalformedError: the file is missing, is not ONNX, needs an operator or an opset that ONNX
            Runtime does not have, or works on something else than numbers.
        UnavailableError: the provider cannot be started.
    """

    format = "ONNX"
    runtime = f"onnxruntime {onnxruntime.__version__}"
    optional = 0

    def __init__(self, path: Path, provider: str) -> None:
        self.path, self.provider, self.home = path, provider, execution_providers()[provider]
        self.data, opsets, self.table_sizes = _read_onnx(path)
        try:
            self.session = open_session(self.data, provider)
        except PipelineError:
            raise
        except Exception as error:  # the many ways in which ONNX Runtime refuses a graph
            raise MalformedError(
                f"{path} (opsets: {opsets}) does not load in {self.runtime}: {one_line(error)}"
            ) from error
        self.inputs = tuple(_tensor(path, item) for item in self.session.get_inputs())
        self.outputs = tuple(_tensor(path, item) for item in self.session.get_outputs())
        self.takes = tuple(item.name for item in self.inputs)
        metadata = self.session.get_modelmeta().custom_metadata_map
        try:
            self.samples = read(metadata[KEY]) if KEY in metadata else {}
        except MalformedError as error:
            raise MalformedError(f"{path}: {error}") from error
        self._options = onnxruntime.RunOptions()
        self._options.log_severity_level = 4  # a refusal is a finding; it need not print too

    def call(self, given: Sequence[Array]) -> list[Array]:
        """One call."""
        found = self.session.run(None, self._feeds(given), self._options)
        return [np.asarray(item) for item in found]

    def placement(self, given: Sequence[Array]) -> dict[str, str]:
        """Where each recurrent node ran."""
        return node_placement(self.data, self.provider, self._feeds(given))

    def _feeds(self, given: Sequence[Array]) -> dict[str, Array]:
        return {name: np.ascontiguousarray(y) for name, y in zip(self.takes, given, strict=True)}


def _read_onnx(path: Path) -> tuple[bytes, str, dict[str, int]]:
    """The graph with its external data inside, its opsets, and the sizes of its tables."""
    data = read_file(path, "the ONNX file")
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's own, which has no type that can be imported
        raise MalformedError(f"{path} is not an ONNX file ({one_line(error)})") from error
    if not model.graph.output:
        raise MalformedError(f"{path} is not an ONNX file: it has no graph with outputs")
    if any(item.external_data for item in model.graph.initializer):
        try:
            load_external_data_for_model(model, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise MalformedError(
                f"the weights beside {path} cannot be read: {one_line(error)}"
            ) from error
        data = model.SerializeToString()
    for item in model.opset_import:
        if item.domain in ("", "ai.onnx") and item.version > onnx.defs.onnx_opset_version():
            raise MalformedError(
                f"{path} needs opset {item.version} of ONNX, and onnx {onnx.__version__} knows up "
                f"to {onnx.defs.onnx_opset_version()}; export it with a lower one"
            )
    opsets = (f"{item.domain or 'ai.onnx'} {item.version}" for item in model.opset_import)
    return data, ", ".join(opsets), table_sizes(model)


def _tensor(path: Path, argument: Any) -> TensorSpec:
    """The tensor that ONNX Runtime declares as input or output; axes without a name get one."""
    if argument.type not in _TYPES:
        raise MalformedError(
            f"'{argument.name}' of {path} is {argument.type}; only numbers and booleans "
            "can be compared, so cut it off the graph"
        )
    shape = (
        axis if isinstance(axis, int) and axis >= 0 else str(axis or f"{argument.name}.{index}")
        for index, axis in enumerate(argument.shape)
    )
    kind = _TYPES[argument.type]
    return TensorSpec(name=argument.name, type=kind, shape=tuple(shape), meaning="not declared")


class TorchScriptModel:
    """A TorchScript module: tensors in tuples are passed one by one, results come flattened.

    ``exact`` makes it the float64 twin, of its weights and of what it is given.

    Raises:
        MalformedError: the file is missing, is not TorchScript, has no ``forward``, or one that
            takes something else than tensors, numbers, and tuples of them.
    """

    format = "TorchScript"
    runtime = f"TorchScript {torch.__version__}"

    def __init__(self, path: Path, provider: str, exact: bool = False) -> None:
        self.path, self.provider, self.home, self.exact = path, provider, provider, exact
        self.data = read_file(path, "the TorchScript file")
        try:
            self.module = TorchScript(self.data, provider).module.eval()
        except RuntimeError as error:
            raise MalformedError(f"{path} is not TorchScript ({one_line(error)})") from error
        if exact:
            self.module.double()
        try:
            self._method = getattr(self.module, OF_TENSORS, self.module.forward)
            self._arguments = self._method.schema.arguments[1:]  # the first is self
        except AttributeError as error:
            raise MalformedError(f"{path} has no forward method to call") from error
        leaves = [(name, item) for item in self._arguments for name in self._leaves(item)]
        self.takes = tuple(name for name, _ in leaves)
        self.optional = sum(item.has_default_value() for _, item in leaves)

    def call(self, given: Sequence[Array]) -> list[Array]:
        """One call of ``forward``, or of the method that takes the tensors alone."""
        left = iter(given)
        # TF32 keeps 10 bits of the mantissa; parity is measured without it.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            arguments = []
            for _, item in zip(given, self._arguments, strict=False):
                arguments.append(self._packed(item.type, left))
            try:
                return list(_flattened(self._method(*arguments)))
            except (RuntimeError, torch.jit.Error) as error:
                # Above its last line stands a traceback of TorchScript.
                said = (str(error).strip().splitlines() or [""])[-1]
                raise RuntimeError(said.removeprefix("RuntimeError: ")) from error

    def placement(self, given: Sequence[Array]) -> dict[str, str]:
        """Empty, since TorchScript runs on one device."""
        return {}

    def _leaves(self, argument: Any) -> list[str]:
        """The names of the tensors and numbers of one argument."""
        count = self._count(argument.name, argument.type)
        inside = [f"{argument.name}.{index}" for index in range(count)]
        return [argument.name] if _plain(argument.type).kind() != "TupleType" else inside

    def _count(self, name: str, kind: Any) -> int:
        kind = _plain(kind)
        if kind.kind() == "TupleType":
            return sum(self._count(name, item) for item in kind.elements())
        if kind.kind() not in ("TensorType", "IntType", "FloatType", "BoolType", "NumberType"):
            raise MalformedError(
                f"argument '{name}' of {self.path} is {kind}; only tensors, numbers and tuples "
                "of them can be passed"
            )
        return 1

    def _packed(self, kind: Any, left: Iterator[Array]) -> Any:
        kind = _plain(kind)
        if kind.kind() == "TupleType":
            return tuple(self._packed(item, left) for item in kind.elements())
        value = next(left)
        if kind.kind() != "TensorType":
            return value.item()
        tensor = torch.from_numpy(np.array(value)).to(self.provider)
        return tensor.double() if self.exact and tensor.is_floating_point() else tensor


def _plain(kind: Any) -> Any:
    """The type inside an Optional, or the type itself."""
    return kind.getElementType() if kind.kind() == "OptionalType" else kind


def _flattened(result: Any) -> Iterator[Array]:
    """The tensors of a result, in order; an Optional that is None is left out."""
    if isinstance(result, torch.Tensor):
        yield result.cpu().contiguous().numpy()
    elif isinstance(result, tuple | list):
        for item in result:
            yield from _flattened(item)
    elif isinstance(result, Mapping):
        yield from _flattened(list(result.values()))
    elif result is not None:
        yield np.asarray(result)
