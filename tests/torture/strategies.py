"""What hypothesis draws: command lines from click's own lists, JSON, tables, and spoilt bytes."""

from collections.abc import Iterator
from typing import Any

import click
from hypothesis import strategies as st

from torture.leaves import NUMBERS, TEXTS, changed, places_of, text_of

# Text as people and programs give it: words, names of files, control characters, any Unicode.
WORDS = st.one_of(
    st.sampled_from(["wave", "words", "other", "-", ".", "", "exported/wave", "a,b", "1,2", "a=b"]),
    st.sampled_from([text for text in TEXTS.values() if isinstance(text, str) and len(text) < 999]),
    st.text(max_size=20),
).filter(lambda text: "\0" not in text)  # which no command line can hold
FILES = st.sampled_from(
    [
        *("history.csv", "words.txt", "weights.pt", "exported/wave/model.pt", "missing", "/", "."),
        *(
            "exported/wave/onnx/model.onnx",
            "exported/wave/manifest.json",
            "exported",
            "picture.svg",
        ),
        *("/dev/null", "/dev/full", "checkpoints/wave/checkpoint.json", "new/deep/er.svg", "-"),
        *("exported/words/golden.json", "picture.png", "picture.pdf", "picture.xyz", "x" * 300),
    ]
)
INTEGERS = st.one_of(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0, -1, 65, 2**31, 2**63, 10**12, 10**30, -(2**63)]),
)
FLOATS = st.one_of(
    st.floats(0.001, 2),
    st.sampled_from([0.0, -1.0, 1e300, 5e-324, float("nan"), float("inf"), 1e-9]),
)
# What an argument of that name is when it is what it should be; {} is the model that is there.
ARGUMENTS = {
    "target": ["c", "python", "node", "wasm", "browser", "cpp-libtorch"],
    "file": ["weights.pt"],
    "bundle": ["{}", "exported/{}"],
    "names": ["{}", "exported/{}", "checkpoints/{}"],
}


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words, those of groups too."""
    from pipeline.cli import cli

    def below(group: click.Group, words: tuple[str, ...]) -> Iterator[Any]:
        for name, command in sorted(group.commands.items()):
            if isinstance(command, click.Group):
                yield from below(command, (*words, name))
            else:
                yield (*words, name), command

    return below(cli, ())


def _value(kind: "click.ParamType[Any]") -> st.SearchStrategy[str]:
    """What may be given for an option: mostly of its kind, at times of any other."""
    own: st.SearchStrategy[str]
    if isinstance(kind, click.Choice):
        own = st.sampled_from([str(choice) for choice in kind.choices])
    elif isinstance(kind, click.types.IntParamType):
        own = INTEGERS.map(str)
    elif isinstance(kind, click.types.FloatParamType):
        own = FLOATS.map(repr)
    elif isinstance(kind, click.Path | click.File):
        own = FILES
    else:
        own = st.one_of(WORDS, FILES, INTEGERS.map(str))
    return st.one_of(*[own] * 8, WORDS, INTEGERS.map(str))


def _option(option: click.Option) -> st.SearchStrategy[list[str]]:
    flag = st.sampled_from([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return flag.map(lambda name: [name])
    return st.tuples(flag, _value(option.type)).map(
        lambda pair: [f"{pair[0]}={pair[1]}"] if pair[0].startswith("--") else [*pair]
    )


def _argument(argument: click.Argument, model: str) -> st.SearchStrategy[list[str]]:
    names = ARGUMENTS.get(argument.name or "", ["{}"])
    right = st.sampled_from([name.format(model) for name in names])
    one = st.one_of(*[right] * 6, FILES, WORDS)
    if argument.nargs == -1:
        return st.lists(one, max_size=2, unique=True)
    return st.one_of(*[st.lists(one, min_size=1, max_size=1)] * 9, st.lists(one, max_size=2))


def command_lines(model: str) -> st.SearchStrategy[list[str]]:
    """A command on ``model`` with a few options of its own, and at times one of others."""
    every = list(commands())
    options = [p for _, command in every for p in command.params if isinstance(p, click.Option)]

    def of(words: tuple[str, ...], command: click.Command) -> st.SearchStrategy[list[str]]:
        arguments = [_argument(p, model) for p in command.params if isinstance(p, click.Argument)]
        own = [p for p in command.params if isinstance(p, click.Option)]
        needed = [_option(p) for p in own if p.required]
        free = [_option(p) for p in own if not p.required]
        strange = st.sampled_from(options).flatmap(_option)
        given = st.lists(st.one_of(*free * 2, strange), max_size=3)
        needed = [st.one_of(*[option] * 9, st.just([])) for option in needed]
        given = st.tuples(st.tuples(*needed), given).map(lambda parts: [*parts[0], *parts[1]])
        return st.tuples(st.tuples(*arguments), given).map(
            lambda parts: [*words, *(w for part in (*parts[1], *parts[0]) for w in part)]
        )

    return st.sampled_from(every).flatmap(lambda pair: of(*pair))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from([v for v in (*NUMBERS.values(), *TEXTS.values()) if v.__class__ is not object]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def _like(value: Any) -> st.SearchStrategy[Any]:
    """Values of the same kind, which a schema alone would let pass more often."""
    if isinstance(value, bool) or value is None:
        return st.booleans()
    if isinstance(value, int):
        return st.one_of(st.integers(-2, 9), st.integers(value - 2, value + 2), INTEGERS)
    if isinstance(value, float):
        return st.one_of(st.floats(-2, 2), st.floats(0.5, 2).map(lambda f: f * value), FLOATS)
    if isinstance(value, str):
        return st.one_of(st.text(max_size=9), st.just(value[::-1]), st.just(value[:-1]), WORDS)
    if isinstance(value, list):
        return st.one_of(st.just(value * 2), st.just(value[:-1]), st.permutations(value))
    return st.just({**value, "more": 1})


def documents(document: Any) -> st.SearchStrategy[bytes]:
    """A JSON document with one to four values replaced, by others of the same kind or of any."""
    places = list(places_of(document))

    def change(item: tuple[Any, Any]) -> st.SearchStrategy[Any]:
        return st.tuples(st.just(item[0]), st.one_of(*[_like(item[1])] * 4, VALUES))

    changes = st.lists(st.sampled_from(places).flatmap(change), min_size=1, max_size=3)

    def apply(changes: list[tuple[Any, Any]]) -> bytes:
        found = document
        for place, value in changes:
            try:
                found = changed(found, place, value)
            except (KeyError, IndexError, TypeError):  # gone by the change before
                continue
        return text_of(found)

    return changes.map(apply)


def spoilt(data: bytes) -> st.SearchStrategy[bytes]:
    """Bytes with parts taken out, put in and replaced."""
    places = st.integers(0, max(0, len(data) - 1))
    edit = st.tuples(places, st.integers(0, 9), st.binary(max_size=9))

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        found = data
        for start, length, new in edits:
            found = found[:start] + new + found[start + length :]
        return found

    return st.lists(edit, min_size=1, max_size=3).map(apply)


_CELLS = st.one_of(
    st.integers(-9, 9).map(str),
    st.floats(width=32).map(repr),
    st.sampled_from(["", "NA", "nan", "inf", "1e999", "1,5", '"', '"a""b"', "2024-01-01", "0x1p3"]),
    st.dates().map(str),
    st.text(max_size=5),
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Something like CSV, of up to 60 rows, a few of which may be strange."""
    width = draw(st.integers(1, 4))
    names = draw(
        st.lists(
            st.one_of(st.sampled_from(["y", "ds", "unique_id", "a"]), st.text(max_size=6)),
            min_size=width,
            max_size=width,
        )
    )
    good = st.lists(st.integers(0, 99).map(str), min_size=width, max_size=width)
    rows = [draw(good) for _ in range(draw(st.integers(0, 5)))] * 9
    for strange in draw(st.lists(st.lists(_CELLS, max_size=width + 1), max_size=4)):
        rows.insert(draw(st.integers(0, len(rows))), strange)
    ends = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = ends.join(draw(st.sampled_from([",", ";", "\t"])).join(row) for row in [names, *rows])
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + (text + ends).encode(errors="replace")
