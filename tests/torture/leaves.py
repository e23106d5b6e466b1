"""Values that do not belong there, put into every place of a JSON document."""

import copy
import json
from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]

CANARY = "canary"  # what a payload would make
_TOUCH = '__attribute__((constructor)) static void f(void){fopen("canary","w");}'
MISSING = object()

# Text that is code, or half of it, in a language that something is written in.
TEXTS: dict[str, Any] = {
    "C": f"x */ #include <stdio.h>\n{_TOUCH} /*",
    "C in a string": f'x"; {_TOUCH} //',
    "C preprocessor": f"x\n#include <stdio.h>\n{_TOUCH}\n#define y",
    "C keyword": "while",
    "C name of libc": "memcpy",
    "shell": f"x; touch {CANARY} #`touch {CANARY}`$(touch {CANARY})",
    "make": f"x $(shell touch {CANARY})\n\ttouch {CANARY}",
    "HTML": f"<script>fetch('/{CANARY}')</script><img src=x onerror=alert(1)>",
    "JavaScript": f"x`;require('fs').writeFileSync('{CANARY}','')//'; //\u2028",
    "Python": f'x"""\n__import__("pathlib").Path("{CANARY}").touch()\n"""',
    "Jinja": "{{ ''.__class__.__mro__ }}{% raw %}",
    "Markdown": "](javascript:alert(1)) | x\n---\n# title <b>",
    "markup": "[/red][bold",
    "mathtext": "$\\foo{$",
    "escape": "\x1b]0;owned\x07\x1b[31m\x9b2J",
    "direction": "\u202egnp.exe",
    "NUL": "a\0b",
    "lines": "a\nerror: b\r\x0bc",
    "climbs": "../../outside/written",
    "absolute": "/etc/passwd",
    "Windows": "C:\\x\\..\\y",
    "empty": "",
    "digit": "9lives",
    "dot": ".",
    "dots": "..",
    "long": "x" * 100_000,
    "surrogate": "\ud800",
    "number": 7,
    "list": [["x"]],
    "null": None,
    "missing": MISSING,
}
NUMBERS: dict[str, Any] = {
    "-1": -1,
    "-5": -5,
    "0": 0,
    "1": 1,
    "10^6": 10**6,
    "65536": 65536,
    "2^31": 2**31,
    "2^63": 2**63,
    "10^30": 10**30,
    "10^4000": 10**4000,
    "0.5": 0.5,
    "1e308": 1e308,
    "1e-320": 1e-320,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "true": True,
    "text": "7",
    "null": None,
    "list": [1],
    "object": {"a": 1},
    "missing": MISSING,
}
OBJECTS: dict[str, Any] = {
    "null": None,
    "empty": {},
    "list": [],
    "text": "x",
    "nested": "NESTED",  # replaced in the text by 100,000 brackets
    "missing": MISSING,
}


def places_of(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every place of a document with its value; of the items of a list, the first and the last."""
    if place:
        yield place, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places_of(inner, (*place, key))
    elif isinstance(value, list) and value:
        for index in sorted({0, len(value) - 1}):
            yield from places_of(value[index], (*place, index))


def strange_values(value: Any) -> dict[str, Any]:
    """What is put in place of ``value``, by what it is called."""
    if isinstance(value, str):
        return TEXTS
    return OBJECTS if isinstance(value, dict | list) else NUMBERS


def changed(document: Any, place: Place, value: Any) -> Any:
    """A copy of ``document`` with another value at ``place``, or without it."""
    document = copy.deepcopy(document)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    if value is MISSING:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return document


def text_of(document: Any) -> bytes:
    """JSON as the pipeline lays it out, of values that it would never write."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return text.replace('"NESTED"', "[" * 100_000 + "]" * 100_000).encode(errors="surrogatepass")


def shown(place: Place) -> str:
    """A place, for people."""
    return ".".join(map(str, place))
