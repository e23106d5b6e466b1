"""Engines that run whole sequences of a series: runtimes for ONNX files, and generated C."""

import ctypes
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.benchmark.compiling import FARTHEST, compile_c, rounded
from pipeline.contract.files import ONNX_FILE
from pipeline.contract.law import Array, Precision
from pipeline.contract.network import StoredNetwork
from pipeline.contract.small_weights import SmallType
from pipeline.embed.c.source import write_c
from pipeline.embed.c_integer.network import IntegerNetwork
from pipeline.embed.c_integer.source import write_integer_c
from pipeline.network_tensors import state_rows
from pipeline.runtimes.base import Runtime, feeds
from pipeline.runtimes.catalog import RUNTIMES
from pipeline.runtimes.onnx_runtime import open_session
from pipeline.threads import session_options
from pipeline.variants.graph import small_graph

_NAME = "net"

Floats = NDArray[np.float32]
Call = Callable[[Floats], Array]  # inputs [batch, time, features] to outputs [batch, time, targets]


class Engine(NamedTuple):
    """A call of a network on zero states, and the precision that it computes in.

    ``expected`` gives the same in ONNX Runtime, with the same weights.
    """

    call: Call
    expected: Call
    precision: Precision = "float32"


def onnx_runtime(graph: bytes, network: StoredNetwork) -> Call:
    """ONNX Runtime on the CPU."""
    session = open_session(graph, "cpu", session_options())
    return lambda inputs: session.run(None, _from_zeros(inputs, network))[0]


def installed(graph: bytes, network: StoredNetwork, expected: Call) -> dict[str, Engine]:
    """The optional runtimes for ONNX files that are installed, once for each precision."""
    found: dict[str, Engine] = {}
    for kind in RUNTIMES.values():
        if kind.file != ONNX_FILE or not kind.optional or find_spec(kind.package) is None:
            continue
        runtimes = [opener() for opener in kind.openers(graph, "cpu")]
        for precision, runtime in {runtime.precision: runtime for runtime in runtimes}.items():
            found[runtime.name] = Engine(_of_runtime(runtime, network), expected, precision)
    return found


def generated(
    graph: bytes, network: StoredNetwork, expected: Call, compiler: str, home: Path
) -> dict[str, Engine]:
    """Generated C with float32, float16 and int8 weights, and with int8 weights in integers.

    It is built in the new folder ``home``.

    Raises:
        UnavailableError: it cannot be compiled.
    """
    home.mkdir()
    found = {"generated C": Engine(in_c(network, compiler, home / "float32"), expected)}
    kinds: tuple[SmallType, ...] = ("float16", "int8")
    for kind in kinds:
        variant = rounded(network, kind)
        likewise = onnx_runtime(small_graph(graph, variant.small, network.weights), network)
        call = in_c(variant, compiler, home / kind)
        found[f"generated C, {kind}"] = Engine(call, likewise)
    call = in_integers(variant, compiler, home / "integers")
    return found | {"C in integers, int8": Engine(call, likewise, "int16")}


def in_c(network: StoredNetwork, compiler: str, home: Path) -> Call:
    """The functions of the target c."""
    library = _library(write_c(network, _NAME, "none"), compiler, home)

    def call(inputs: Floats) -> Floats:
        batch, steps = inputs.shape[:2]
        states = _zeros(batch, network)
        output = np.empty((batch, steps, len(network.weights["head.bias"])), np.float32)
        library.net_run_batch(*map(_pointer, (states, inputs, output)), _size(steps), _size(batch))
        return output

    return call


def in_integers(network: StoredNetwork, compiler: str, home: Path) -> Call:
    """The functions of the target c-integer, one stream after another.

    To make integers of the inputs is part of a call, and so is to make floats of the outputs.
    """
    assert network.scaler is not None
    integers = IntegerNetwork(_NAME, network, FARTHEST)
    library = _library(write_integer_c(integers, "none"), compiler, home)
    mean, to_mean = (
        np.asarray(numbers, np.float32)
        for numbers in (network.scaler.input_mean, network.scaler.output_mean)
    )

    def call(inputs: Floats) -> Floats:
        batch, steps = inputs.shape[:2]
        given = np.rint((inputs - mean) * integers.input_scale).clip(-32767, 32767).astype(np.int16)
        states = _zeros(batch, network).astype(np.int32)
        output = np.empty((batch, steps, integers.head.size), np.int32)
        for arrays in zip(states, given, output, strict=True):
            library.net_run(*map(_pointer, arrays), _size(steps))
        return output * integers.output_scale + to_mean

    return call


def _library(files: Mapping[str, bytes], compiler: str, home: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(compile_c(files, _NAME, home, [compiler, "-shared", "-fPIC"])))


def _pointer(array: Array) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


_size = ctypes.c_size_t


def _of_runtime(runtime: Runtime, network: StoredNetwork) -> Call:
    return lambda inputs: runtime.call(_from_zeros(inputs, network))[0]


def _from_zeros(inputs: Floats, network: StoredNetwork) -> dict[str, Array]:
    return feeds(inputs, _zeros(len(inputs), network))


def _zeros(batch: int, network: StoredNetwork) -> Floats:
    config = network.config
    return np.zeros((batch, len(state_rows(config)), config.hidden_size), np.float32)
