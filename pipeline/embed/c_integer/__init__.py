"""C99 of an int8 variant in integers alone, with the weights inside."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.contract import Bundle
from pipeline.embed.c import TARGET as C
from pipeline.embed.target import CLIENT, Target


def _generated(bundle: Bundle) -> Mapping[str, bytes]:
    """``model.h`` and ``model.c`` of ``bundle``; the import is long."""
    from pipeline.embed.c_integer.source import integer_c_source

    return integer_c_source(bundle)


TARGET = Target(
    name="c-integer",
    title="C in integers",
    help="C99 without floats: 8-bit weights, 16-bit activations and sums of 32 bits, for processors "
    "that have no floating point, and faster for those that have",
    limits="It takes int8 variants of built-in networks with a state, tanh and no projections. "
    f"{C.limits.partition('. ')[2]}",
    clients=(*C.clients, Path(__file__).with_name(CLIENT)),
    generated=_generated,
    precision="int16",
    programs=C.programs,
    headers=C.headers,
    build=C.build,
    replay=C.replay,
)
