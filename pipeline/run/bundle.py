"""A bundle at work in Python: what ``import pipeline`` gives, and what ``pipeline run`` is made of.

Opening one reads and checks its manifest. ONNX Runtime is imported at the first call, pandas at the
first forecast, and torch only to validate.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline import contract
from pipeline.config import SeriesModel
from pipeline.contract import Manifest, StateEntry
from pipeline.contract.manifest import ONNX_FILE
from pipeline.contract.tensors import TensorSpec
from pipeline.errors import UsageError
from pipeline.lookup import find_model
from pipeline.run.arguments import (
    Sizes,
    check_arrays,
    check_sampling,
    check_text,
    typed_shape,
    whole,
)
from pipeline.run.graph import Graph, open_graph
from pipeline.run.stream import Stream
from pipeline.run.text import generate
from pipeline.signature import BATCH, MANIFEST_FILE

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.validate import Validation

Folder = str | os.PathLike[str]


def load(bundle: Folder, exported: Folder = "exported") -> "Bundle":
    """Open a bundle: the one called ``bundle`` in the folder ``exported``, or at that path.

    Raises:
        UsageError: no bundle has that name.
        MalformedError: the manifest is missing, or is none.
        IntegrityError: the manifest was changed.
        UnsafeError: it lists a file outside the folder, or a link stands in its place.
        StorageError: it cannot be read.
    """
    folder = find_model(Path(exported), MANIFEST_FILE, os.fspath(bundle), made_by="export")
    opened = contract.open_bundle(folder)
    return Bundle(opened.folder, opened.manifest)


class Bundle(contract.Bundle):
    """An exported model, opened and ready to be called; :func:`load` makes it.

    It is the bundle of :mod:`pipeline.contract`, with its files and its manifest, and ONNX Runtime
    to run them. No file is used whose digest does not match.
    """

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.manifest.name

    @property
    def task(self) -> Literal["series", "text"]:
        """What it was made for."""
        return self.manifest.task

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Name, type, shape and meaning of every tensor that goes in, the state among them."""
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The same of every tensor that comes out."""
        return self.manifest.outputs

    @property
    def state(self) -> StateEntry | None:
        """Which output is the next value of which input; None for whole sequences."""
        return self.manifest.state

    @property
    def window(self) -> int | None:
        """Steps that a model of whole sequences was trained on, where that is known."""
        return self.manifest.window

    @property
    def vocabulary(self) -> str | None:
        """The characters that a text model knows; None for a series."""
        return self.manifest.vocabulary

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that a series model reads, in order; empty where there are none."""
        source = self.manifest.source
        return source.columns if source.kind == "series" else ()

    @property
    def targets(self) -> tuple[str, ...]:
        """Those of :attr:`columns` that it forecasts."""
        model = self.manifest.model
        return self.columns[: model.targets] if isinstance(model, SeriesModel) else ()

    def __repr__(self) -> str:
        inputs, outputs = (
            ", ".join(f"{spec.name} {typed_shape(spec)}" for spec in specs)
            for specs in (self.inputs, self.outputs)
        )
        return f"Bundle {self.name}: {self.task}, {self.manifest.model}; {inputs} -> {outputs}"

    @cached_property
    def graph(self) -> Graph:
        """The model itself; raises as :func:`open_graph`."""
        return open_graph(self, ONNX_FILE, self.inputs, self.outputs)

    @cached_property
    def loop_graph(self) -> Graph:
        """The graph that feeds the model with its own outputs; raises as :func:`open_graph`.

        Raises:
            UsageError: the model cannot be fed with them.
        """
        loop = self.manifest.loop
        if loop is None:
            raise _why_no_loop(self.manifest)
        return open_graph(self, loop.file, loop.inputs, loop.outputs)

    def run(self, /, **inputs: ArrayLike) -> dict[str, NDArray[Any]]:
        """Every output of one call of the model, by its name.

        ``inputs`` are arrays by their names, as :attr:`inputs` has them. Without its state, a
        model starts from the initial one.

        Raises:
            UsageError: a name is unknown, or missing.
            MalformedError: an array has another type or shape, or holds what is no finite number;
                or the graph cannot be run. Others as :func:`open_graph`.
        """
        graph, sizes = self.graph, Sizes()
        carried = () if graph.state is None else (graph.state.input,)
        feeds = check_arrays(graph.inputs, inputs, self.name, sizes, optional=carried)
        for name in carried:
            feeds.setdefault(name, graph.initial_state(sizes[BATCH]))
        names = [spec.name for spec in graph.outputs]
        return dict(zip(names, graph.call(feeds, names), strict=True))

    def stream(self, batch: int = 1) -> Stream:
        """``batch`` sequences side by side, read in pieces, from the initial state on.

        Raises:
            UsageError: the model reads whole sequences, or ``batch`` is less than 1. Others as
                :func:`open_graph`.
        """
        batch = whole("batch", batch, least=1)
        if self.state is None:
            steps = f"{self.window} steps" if self.window else "the length it was trained on"
            raise UsageError(
                f"{self.name} reads whole sequences in both directions and carries no state; call "
                f"run with windows of {steps}"
            )
        return Stream(self.graph, batch)

    def generate(
        self,
        prompt: str = "",
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> str:
        """The ``length`` characters that a text model writes after ``prompt``.

        Characters outside of :attr:`vocabulary` are read as one and the same unknown one.

        Args:
            prompt: What the text goes on from; it is not part of the result.
            length: Characters to write.
            temperature: Divides the logits; 0 takes the likeliest character each time.
            top_k: Draws from that many likeliest; 0 is off.
            top_p: Draws from the likeliest up to that share, above 0; 1 is off.
            seed: The same gives the same text, here as in ``pipeline run --seed``.

        Raises:
            UsageError: this is no text model, or an argument is out of its range.
            MalformedError: the model gives NaN. Others as :func:`open_graph`.
        """
        if self.vocabulary is None:
            raise UsageError(f"{self.name} is a {self.task} model and writes no text; use forecast")
        sampling = check_sampling(temperature, top_k, top_p)
        prompt, length = check_text("prompt", prompt), whole("length", length, least=0)
        rng = _generator(seed)
        pieces = generate(self.loop_graph, self.vocabulary, prompt, length, 1, sampling, rng)
        return "".join(text for [(text, _)] in pieces)

    def forecast(
        self,
        frame: Any,
        steps: int = 20,
        samples: int = 0,
        seed: int | None = None,
    ) -> "pd.DataFrame":
        """What comes after the history in ``frame``: one row for each of ``steps``, in raw units.

        Times of the history stand in its index, or in a column that is found as ``pipeline train``
        finds it. The result has those that follow, in the same place: months after months, business
        days after business days, else steps of the same length.

        Args:
            frame: A DataFrame of pandas, Polars or Arrow, or a Series of pandas, or a dict of
                columns: those that training read, by their names. An array ``[time]`` or
                ``[time, columns]`` has them in the order of :attr:`columns`.
            steps: Steps to forecast.
            samples: Ways that it may go. With any, there are columns of quantiles, such as
                ``load 10%``, ``load 50%`` and ``load 90%`` beside ``load``.
            seed: The same gives the same samples, here as in ``pipeline run --seed``.

        Raises:
            UsageError: this model does not forecast what it reads, nobody knows how far its
                forecasts miss, an argument is out of its range, a column is not there, or one row
                alone has a time.
            MalformedError: the history is no table of numbers, has a value missing, or times at
                uneven steps; or the forecast leaves what float32 can hold. Others as
                :func:`open_graph`.
        """
        from pipeline.run.frame import forecast_frame, read_frame, require_clock
        from pipeline.run.history import DataSource
        from pipeline.run.series import check_request, forecast, width_of

        if self.task != "series":
            raise UsageError(f"{self.name} is a {self.task} model and forecasts none; use generate")
        steps, samples = whole("steps", steps, least=0), whole("samples", samples, least=0)
        rng, width = _generator(seed), width_of(self.loop_graph)
        check_request(self.manifest, steps, samples, width)
        history, index = read_frame(frame, DataSource.of(self.manifest), width)
        require_clock(history)
        made = forecast(self.loop_graph, history.columns, history.values, steps, samples, rng)
        return forecast_frame(made, history, index)

    def validate(
        self, runtimes: tuple[str, ...] = (), providers: tuple[str, ...] = ()
    ) -> "Validation":
        """Compare runtimes with PyTorch, as ``pipeline validate`` does, and write nothing.

        It imports torch and takes seconds to minutes. TorchScript that others have made does not
        run; its row says why.

        Args:
            runtimes: Some of those that ``pipeline validate --help`` lists; all that are there by
                default.
            providers: Such as cpu and cuda; all that are there by default.

        Raises:
            UsageError: a runtime or a provider is unknown.
            UnavailableError: one that was named is not there.
            ParityError: the golden numbers are not those that the weights give.
            MalformedError: a file is missing, or not what it should be.
            IntegrityError: a file was changed.
        """
        from pipeline.runtimes.catalog import ALL, Runtimes, known_providers, require
        from pipeline.validate import validate_bundle

        require(providers, runtimes)
        with Runtimes(runtimes or ALL, providers or known_providers()) as opened:
            return validate_bundle(self, opened)


def _generator(seed: int | None) -> np.random.Generator:
    return np.random.default_rng(None if seed is None else whole("seed", seed, least=0))


def _why_no_loop(manifest: Manifest) -> UsageError:
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
