"""Recurrent networks from PyTorch to the place where they run: train, export, validate, embed.

From Python, an exported model is one object, which needs numpy and onnxruntime::

    import pipeline

    bundle = pipeline.load("exported/char-lstm")
    print(bundle.generate("The ", 200, temperature=0.7, seed=1))

    stream = bundle.stream()
    logits = stream("The quick ")  # the state stays in the stream, and
    logits = stream("brown fox")  # the next piece goes on from it

A model of a series forecasts a data frame, and gives one back with the dates that follow::

    bundle = pipeline.load("exported/load-lstm")
    ahead = bundle.forecast(frame, steps=12, samples=500, seed=1)

Any module of your own becomes such a bundle by ``pipeline.export(module, example, name="denoiser",
axes={"x": {0: "batch", 1: "time"}})``, its state made explicit and proven.

Everything that is refused raises one of the errors in :mod:`pipeline.errors`.
"""

from typing import TYPE_CHECKING

from pipeline.later import later

if TYPE_CHECKING:
    from pipeline.run.bundle import Bundle, load
    from pipeline.run.export import export_module as export
    from pipeline.run.stream import Stream
else:
    __getattr__ = later(
        __name__, {"": ("export",), "run.bundle": ("Bundle", "load"), "run.stream": ("Stream",)}
    )

__version__ = "0.1.0"

__all__ = ["Bundle", "Stream", "export", "load"]


def __dir__() -> list[str]:
    """The names for people, those among them that are imported when they are asked for."""
    return [*__all__, "__version__"]
