"""A bundle opened to be run: its manifest, and the one graph that has the loop inside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.config import SeriesModel, SeriesSource
from pipeline.contract import Bundle, Manifest
from pipeline.errors import MalformedError, UnavailableError, UsageError, one_line
from pipeline.signature import STATE
from pipeline.threads import session_options, weights_in


@dataclass(frozen=True)
class DataSource:
    """What a series model was trained on: the columns in the order of its input, ids, and times."""

    columns: tuple[str, ...] = ()
    id: str | None = None
    time: str | None = None
    resample: str | None = None


@dataclass(frozen=True)
class Runnable:
    """A model that is ready to be called."""

    manifest: Manifest
    session: onnxruntime.InferenceSession

    def call(self, feeds: Mapping[str, NDArray[Any]], *outputs: str) -> list[NDArray[Any]]:
        """The named ``outputs`` of one call of the graph.

        Raises:
            MalformedError: the graph cannot be run, or gives what its contract does not say.
        """
        loop = self.manifest.loop
        assert loop is not None
        try:
            results: list[NDArray[Any]] = self.session.run(outputs, dict(feeds))
        except Exception as error:  # its own exceptions have no common class
            raise MalformedError(
                f"{loop.file} of {self.manifest.name} cannot be run ({one_line(error)}); export "
                "it anew"
            ) from error
        sizes: dict[int | str, int] = {}
        for spec in loop.inputs:
            sizes.update(zip(spec.shape, feeds[spec.name].shape, strict=True))
        specs = {spec.name: spec for spec in loop.outputs}
        for name, found in zip(outputs, results, strict=True):
            expected = tuple(sizes.get(axis, axis) for axis in specs[name].shape)
            if (found.shape, found.dtype) != (expected, np.dtype(specs[name].type)):
                raise MalformedError(
                    f"{loop.file} of {self.manifest.name} gives {name} as {found.dtype} "
                    f"{list(found.shape)}, not {specs[name].type} {list(expected)}; export it anew"
                )
        return results

    @property
    def source(self) -> DataSource:
        """What it was trained on, as far as it has names: a sine and imported weights have none."""
        source = self.manifest.source
        if not isinstance(source, SeriesSource):
            return DataSource()
        return DataSource(source.columns, source.id, source.time, source.resample)

    @property
    def width(self) -> int:
        """How many columns a series model reads, and forecasts."""
        assert isinstance(self.manifest.model, SeriesModel)
        return self.manifest.model.targets

    def zero_state(self) -> NDArray[np.float32]:
        """The state ``[1, S, hidden]`` that starts one stream."""
        assert self.manifest.loop is not None
        spec = next(spec for spec in self.manifest.loop.inputs if spec.name == STATE)
        return np.zeros([1, *(axis for axis in spec.shape if isinstance(axis, int))], np.float32)


def open_graph(bundle: Bundle) -> Runnable:
    """The graph with the loop, on the CPU.

    Raises:
        UsageError: the model cannot be fed with its own outputs.
        MalformedError: the file is missing.
        IntegrityError: the file is not the one that was exported.
        UnavailableError: this ONNX Runtime cannot load it.
    """
    loop = bundle.manifest.loop
    if loop is None:
        raise _why_none(bundle.manifest)
    data = bundle.read(loop.file)
    options = session_options(weights_in(data))
    options.enable_cpu_mem_arena = False  # for the small tensors of a step, malloc is faster
    try:
        session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no common class
        raise UnavailableError(
            f"onnxruntime {onnxruntime.__version__} cannot load {bundle.folder / loop.file} "
            f"({one_line(error)}); install a newer one"
        ) from error
    return Runnable(bundle.manifest, session)


def _why_none(manifest: Manifest) -> UsageError:
    name, model = manifest.name, manifest.model
    if isinstance(model, SeriesModel) and not model.bidirectional:
        return UsageError(
            f"{name} reads {model.features} columns and forecasts {model.targets}, so it cannot "
            "go on from its own outputs; call its onnx/model.onnx step by step, or train one with "
            "every column as --target"
        )
    return UsageError(
        f"{name} reads whole sequences in both directions and cannot go on from its own outputs; "
        "call its onnx/model.onnx on windows, or train one without --bidirectional"
    )
