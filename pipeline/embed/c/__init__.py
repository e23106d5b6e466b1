"""C99 of a network, with the weights inside."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.contract import Bundle
from pipeline.embed.target import CLIENT, Program, Target

LIMITS = "It takes built-in networks that carry a state; bidirectional ones have none"


def generated(bundle: Bundle) -> Mapping[str, bytes]:
    """``model.h`` and ``model.c`` of ``bundle``; raises as :func:`c_source`, a slow import.

    Other targets that compile C take them too.
    """
    from pipeline.embed.c.source import c_source

    return c_source(bundle)


TARGET = Target(
    name="c",
    title="C",
    help="One header and one source in C99 with the weights inside, no allocation, no library",
    limits=f"{LIMITS}. cJSON and OpenSSL are for the replay alone",
    clients=(Path(__file__).with_name(CLIENT),),
    generated=generated,
    programs=(Program("make"), Program("cc", "gcc")),
    headers={"cjson/cJSON.h": "libcjson-dev", "openssl/sha.h": "libssl-dev"},
    build=lambda: (("make", "--silent", "replay", "example"),),
    replay=("./replay",),
)
