"""A bundle that can be run: the API of ``import pipeline``, on which ``pipeline run`` is built.

Opening a bundle reads and checks its manifest. ONNX Runtime is imported at the first call, pandas
at the first forecast, and torch only to validate.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline import contract
from pipeline.config import SeriesModel
from pipeline.contract import Manifest
from pipeline.contract.files import ONNX_FILE
from pipeline.errors import UsageError
from pipeline.lookup import is_on_hub
from pipeline.run.arguments import Sizes, check_arrays, check_sampling, check_text, whole
from pipeline.run.described import DescribedBundle
from pipeline.run.graph import Graph, open_graph
from pipeline.run.stream import Stream
from pipeline.run.text import generate

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.validate import Validation

Folder = str | os.PathLike[str]


def load(bundle: Folder, exported: Folder = "exported", revision: str | None = None) -> "Bundle":
    """Open a bundle, given by its name in the folder ``exported``, by its path, or by its Hub name.

    The name of a variant is ``sine-lstm/int8``.

    A name such as ``user/repo`` that is no folder here is fetched from the Hugging Face Hub, with
    all digests checked; ``revision`` is a branch, a tag or a commit there, by default the newest.

    Raises:
        UsageError: no bundle has that name.
        UnavailableError: the Hub cannot be reached, or ``huggingface_hub`` is not installed.
        MalformedError: the manifest is missing or malformed.
        IntegrityError: the manifest was changed, or a file on the Hub was.
        UnsafeError: the manifest lists a file outside the folder, or is a link.
        StorageError: the manifest cannot be read.
    """
    name = os.fspath(bundle)
    if isinstance(bundle, str) and is_on_hub(name, Path(exported)):
        from pipeline.hub.fetch import fetch

        folder = fetch(name, revision)
    elif revision is not None:
        raise UsageError(f"{name} is a folder and has no revision {revision}; leave it out")
    else:
        [folder] = contract.find_bundles(Path(exported), (name,))
    opened = contract.open_bundle(folder)
    return Bundle(opened.folder, opened.manifest, opened.content)


class Bundle(DescribedBundle):
    """An exported model that can be called; :func:`load` opens it.

    It adds ONNX Runtime to the bundle of :mod:`pipeline.contract`, which has the files and the
    manifest. A file is used only if its digest matches.
    """

    @property
    def _kind(self) -> str:
        return f"{self.name} is {f'a {self.task} model' if self.task else 'a module'} and"

    @property
    def _instead(self) -> str:
        return {"series": "forecast", "text": "generate"}.get(self.task or "", "run or stream")

    @cached_property
    def graph(self) -> Graph:
        """The graph of the model; raises as :func:`open_graph`."""
        return open_graph(self, ONNX_FILE, self.inputs, self.outputs)

    @cached_property
    def loop_graph(self) -> Graph:
        """The graph with the loop inside; raises as :func:`open_graph`.

        Raises:
            UsageError: the outputs of the model cannot be its next inputs.
        """
        loop = self.manifest.loop
        if loop is None:
            raise _why_no_loop(self.manifest)
        return open_graph(self, loop.file, loop.inputs, loop.outputs)

    def run(self, /, **inputs: ArrayLike) -> dict[str, NDArray[Any]]:
        """Call the model once, and return all outputs by name.

        ``inputs`` are arrays by the names in :attr:`inputs`. States that are not given are the
        initial ones.

        Raises:
            UsageError: a name is unknown, or missing.
            MalformedError: an array has another type or shape, or a number in it is not finite; or
                the graph cannot be run. Others as :func:`open_graph`.
        """
        graph, sizes, batch = self.graph, Sizes(), self.manifest.contract.batch
        carried = [pair.input for pair in self.states]
        feeds = check_arrays(self.inputs, inputs, self.name, sizes, optional=carried)
        if carried:
            feeds = graph.initial(sizes.get(batch or "", 1)) | feeds
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, graph.call(feeds, names), strict=True))

    def stream(self, batch: int = 1) -> Stream:
        """A stream that reads ``batch`` sequences side by side in pieces, from the initial states.

        Raises:
            UsageError: the model reads whole sequences, or ``batch`` is less than 1. Others as
                :func:`open_graph`.
        """
        batch = whole("batch", batch, least=1)
        if not self.states:
            steps = f"{self.window} steps" if self.window else "the length it was trained on"
            raise UsageError(
                f"{self.name} reads whole sequences and carries no state; call run with windows of "
                f"{steps}"
            )
        if self.manifest.contract.batch is None and batch > 1:
            raise UsageError(f"batch is {batch}, and {self.name} reads one sequence; leave it out")
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
        """Write ``length`` characters after ``prompt`` with a text model.

        All characters outside of :attr:`vocabulary` are read as the same unknown character.

        Args:
            prompt: Text that the model continues; it is not part of the result.
            length: Number of characters to write.
            temperature: Number that the logits are divided by; 0 always takes the likeliest.
            top_k: Draw only from this many likeliest characters; 0 is off.
            top_p: Draw only from the likeliest characters that together have this probability,
                above 0; 1 is off.
            seed: Seed of the draws; equal seeds give equal text, as with ``pipeline run --seed``.

        Raises:
            UsageError: this is no text model, or an argument is out of its range.
            MalformedError: the model gives NaN. Others as :func:`open_graph`.
        """
        if self.vocabulary is None:
            raise UsageError(f"{self._kind} writes no text; use {self._instead}")
        sampling = check_sampling(temperature, top_k, top_p)
        prompt, length = check_text("prompt", prompt), whole("length", length, least=0)
        rng = _generator(seed)
        pieces = generate(self.loop_graph, self.vocabulary, prompt, length, 1, sampling, rng)
        return "".join(text for [(text, _)] in pieces)

    def forecast(
        self, frame: Any, steps: int = 20, samples: int = 0, seed: int | None = None
    ) -> "pd.DataFrame":
        """Forecast ``steps`` steps after the history in ``frame``, one row each, in raw units.

        The times of the history are its index, or a column that is found as ``pipeline train``
        finds it. The result has the times that follow, in the same place: months follow months,
        business days follow business days, and other steps keep their length.

        Args:
            frame: A DataFrame of pandas, Polars or Arrow, or a Series of pandas, or a dict of
                columns, with the names of the columns in training; or an array ``[time]`` or
                ``[time, columns]`` with the columns in the order of :attr:`columns`.
            steps: Number of steps to forecast.
            samples: Number of sample paths. If there are any, the result has columns of their
                quantiles, such as ``load 10%``, ``load 50%`` and ``load 90%`` beside ``load``.
            seed: Seed of the samples; equal seeds give equal samples, as with
                ``pipeline run --seed``.

        Raises:
            UsageError: this model does not forecast all columns that it reads, the spread of its
                errors is unknown, an argument is out of its range, a column is missing, or the
                history has times and only one row.
            MalformedError: the history is no table of numbers, has a missing value, or uneven
                times; or the forecast leaves the range of float32. Others as :func:`open_graph`.
        """
        from pipeline.run.frame import forecast_frame, read_frame
        from pipeline.run.history import DataSource
        from pipeline.run.series import check_request, forecast, width_of

        if self.task != "series":
            raise UsageError(f"{self._kind} forecasts none; use {self._instead}")
        steps, samples = whole("steps", steps, least=0), whole("samples", samples, least=0)
        rng, width = _generator(seed), width_of(self.loop_graph)
        check_request(self.manifest, steps, samples, width)
        history, index = read_frame(frame, DataSource.of(self.manifest), width)
        made = forecast(self.loop_graph, history, steps, samples, rng)
        return forecast_frame(made, index)

    def validate(
        self, runtimes: tuple[str, ...] = (), providers: tuple[str, ...] = ()
    ) -> "Validation":
        """Compare runtimes with PyTorch, as ``pipeline validate`` does, and record what was found.

        It imports torch and takes seconds to minutes. TorchScript that was made elsewhere does not
        run, and its row says why. The result is written to ``validation.json`` of the bundle.

        Args:
            runtimes: Names of runtimes, as ``pipeline validate --help`` lists them; by default all
                that are installed.
            providers: Names of providers, such as cpu and cuda; by default all that are available.

        Raises:
            UsageError: a runtime or a provider is unknown.
            UnavailableError: one that was named is not installed or not available.
            ParityError: the golden numbers are not those that the weights give.
            MalformedError: a file is missing or malformed.
            IntegrityError: a file was changed.
            StorageError: the result cannot be written.
        """
        from pipeline.runtimes.catalog import ALL, Runtimes, known_providers, require
        from pipeline.storage import exclusive
        from pipeline.validate import marked, validate_bundle

        require(providers, runtimes)
        with (
            exclusive(self.folder),
            Runtimes(runtimes or ALL, providers or known_providers()) as opened,
        ):
            validation = marked(validate_bundle(self, opened))
            self.add_validation(validation)
        return validation

    def mlflow_arguments(self) -> dict[str, Any]:
        """What ``mlflow.onnx.log_model`` and ``save_model`` take to log the bundle as it is.

        They are the graph, a signature with every tensor, an example, and what runs it::

            mlflow.onnx.log_model(**bundle.mlflow_arguments(), name=bundle.name)

        Raises:
            UnavailableError: MLflow is not installed.
            PipelineError: a file of the bundle is missing, malformed or was changed.
        """
        from pipeline.run.mlflow import mlflow_arguments

        return mlflow_arguments(self)


def _generator(seed: int | None) -> np.random.Generator:
    return np.random.default_rng(None if seed is None else whole("seed", seed, least=0))


def _why_no_loop(manifest: Manifest) -> UsageError:
    name, model = manifest.name, manifest.model
    if model is None:
        return UsageError(f"{name} is a module and has no graph with a loop; use run or stream")
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
