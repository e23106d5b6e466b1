"""C99 of a network in integers alone, with the weights inside."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.contract import Bundle
from pipeline.embed.c import PROGRAMS
from pipeline.embed.c import TARGET as C
from pipeline.embed.target import CLIENT, Target


def _generated(bundle: Bundle) -> Mapping[str, bytes]:
    """``model.h`` and ``model.c`` of ``bundle``; the import is long."""
    from pipeline.embed.c_integer.source import integer_c_source

    return integer_c_source(bundle)


TARGET = Target(
    name="c-integer",
    title="C in integers",
    help="C99 without floats: 8-bit weights, 16-bit activations, sums of 32 bits, for processors "
    "without floating point, and faster on those with it",
    limits="It takes built-in networks with a state, tanh and no projections; made of an int8 "
    "variant, it is half as large. "
    f"{C.limits.partition('. ')[2]}",
    clients=(PROGRAMS, Path(__file__).with_name(CLIENT)),
    generated=_generated,
    precision="int16",
    programs=C.programs,
    headers=C.headers,
    build=C.build,
    replay=C.replay,
)
