"""wasmtime, an engine of WebAssembly: the module that the target of that name builds, unchanged.

The module reads one step of one stream, so a call is many of them. It has no imports, and so can do
nothing but compute.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from pipeline.contract import Bundle
from pipeline.contract.law import Array
from pipeline.network_tensors import INPUT, STATE
from pipeline.packages import package_version
from pipeline.runtimes.base import Runtime
from pipeline.runtimes.kind import Kind


class Wasmtime(Runtime):
    """An instance of the module, and arrays on the places of its memory that a step uses."""

    format = "WebAssembly"
    provider = home = "cpu"

    def __init__(self, file: bytes) -> None:
        import wasmtime

        self.name = f"wasmtime {package_version('wasmtime')}"
        self.store = wasmtime.Store()
        module = wasmtime.Module(self.store.engine, file)
        exports: Any = wasmtime.Instance(self.store, module, []).exports(self.store)
        memory = np.frombuffer(exports["memory"].get_buffer_ptr(self.store), np.uint8)

        def array(place: int, count: int, kind: str) -> Array:
            """The numbers at ``place`` of the memory, whose order is always little-endian."""
            return np.frombuffer(memory, kind, count, place)

        state, rows, given, features, output, outputs, *_ = array(
            exports["layout"](self.store), 8, "<i4"
        )
        self.state = array(state, rows, "<f4")
        self.given = array(given, features, "<f8")
        self.output = array(output, outputs, "<f4")
        self.step = exports["step"]

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of a built-in network: its streams one after the other, step by step."""
        given, states = inputs[INPUT], inputs[STATE].copy()
        outputs = np.empty((*given.shape[:2], len(self.output)), np.float32)
        for stream, state, output in zip(given, states, outputs, strict=True):
            self.state[:] = state.ravel()
            for step, place in zip(stream, output, strict=True):
                self.given[:] = step
                self.step(self.store)
                place[:] = self.output
            state[:] = self.state.reshape(state.shape)
        return [outputs, states]


def _built(bundle: Bundle) -> bytes:
    """The module of ``bundle``; the import is long."""
    from pipeline.embed.wasm.module import wasm_module

    return wasm_module(bundle)


KIND = Kind(
    name="wasmtime",
    format=Wasmtime.format,
    package="wasmtime",
    file="model.wasm",
    built=_built,
    openers=lambda file, provider: [partial(Wasmtime, file)],
    help="wasmtime, with the WebAssembly module of embed, which clang and lld build first",
    limits="It takes built-in networks that carry a state; bidirectional ones have none",
    extras=("wasmtime",),
    requirement="wasmtime>=50",
)
