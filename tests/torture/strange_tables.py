"""Hostile tables and texts: columns called by code, numbers that are none, endless lines."""

from collections.abc import Callable, Iterator
from pathlib import Path

from torture.cases import Hostile
from torture.commands import VALIDATE, Command
from torture.leaves import TEXTS
from torture.originals import Originals

_FEW = ("--hidden-size=3", "--epochs=1", "--window=8", "--batch-size=4", "--threads=1")
_NUMBERS = "\n".join(str(number % 7 + number / 13) for number in range(120)) + "\n"


def road(option: str, file: str, *more: str) -> tuple[Command, ...]:
    """From a file of data to everything that is made of it."""
    return (
        ("train", "--cell=rnn", f"--{option}={file}", "--name=own", *_FEW, *more),
        ("export", "own"),
        ("inspect", "own"),
        ("inspect", "own", "--plot=picture.svg"),
        (*VALIDATE, "own"),
        ("validate", "--runtime=c", "own"),
        ("embed", "own", "browser", "--out=new/browser"),
        ("embed", "own", "node", "--out=new/node"),
        ("run", "own", "--seed=1")
        + (("--prompt=a", "--length=3") if option == "text" else (f"--history={file}",)),
    )


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _rows(count: int, line: Callable[[int], str]) -> str:
    return "".join(line(number) + "\n" for number in range(count))


TABLES: dict[str, str | bytes] = {
    "no bytes": "",
    "a name alone": "y\n",
    "one number": "1\n",
    "NUL": b"y\n" + b"\0" * 1000,
    "random bytes": bytes(range(256)) * 40,
    "UTF-16": ("y\n" + _NUMBERS).encode("utf-16"),
    "an open quote": 'y\n"1\n' + _NUMBERS,
    "a line of 30 MB": b"y\n" + b"1" * 30_000_000 + b"\n",
    "a hundred thousand columns": ",".join("c" * 3 for _ in range(100_000)) + "\n" + "1,\n" * 9,
    "ragged rows": "a,b\n1\n1,2,3\n" + "1,2\n" * 50,
    "names that are the same": "y,y\n" + "1,2\n" * 60,
    "names that are empty": ",,\n" + "1,2,3\n" * 60,
    "infinity": "y\n" + _NUMBERS + "inf\n1e400\n-1e400\n",
    "NaN": "y\n" + _NUMBERS + "nan\nNA\n\n",
    "huge numbers": "y\n" + _rows(120, lambda n: f"{n % 5}e38"),
    "small numbers": "y\n" + _rows(120, lambda n: f"{n % 5}e-44"),
    "numbers of 5000 digits": "y\n" + _rows(120, lambda n: str(n % 5 + 1) * 5000),
    "all the same": "y\n" + "1\n" * 120,
    "hexadecimal": "y\n" + _rows(120, lambda n: hex(n)),
    "times that stand still": "ds,y\n" + "2024-01-01,1\n2024-01-01,2\n" * 40,
    "times beyond": "ds,y\n" + _rows(80, lambda n: f"{9990 + n}-01-01,{n % 5}"),
    "times of other kinds": "ds,y\n" + _rows(80, lambda n: f"{n % 3 or 'Tuesday'},{n % 5}"),
    "times with zones": "ds,y\n"
    + _rows(80, lambda n: f"2024-01-{n % 28 + 1:02}T00:00:00+0{n % 9}:00,{n % 5}"),
    "many series": "unique_id,ds,y\n" + _rows(200, lambda n: f"s{n},2024-01-01,{n % 5}"),
    "a formula": "y\n=cmd|' /C calc'!A0\n" + _NUMBERS,
    "PAR1": b"PAR1" + b"\xff" * 100 + b"PAR1",
    "gzip": b"\x1f\x8b\x08\0" + b"\0" * 100,
    "carriage returns": ("y\n" + _NUMBERS).replace("\n", "\r"),
    "semicolons": "a;b\n" + "1,5;2,5\n" * 60,
}


def _writing(name: str, data: str | bytes) -> Callable[[Path], None]:
    content = data if isinstance(data, bytes) else data.encode(errors="surrogatepass")

    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return spoil


def _series_called(text: str) -> str:
    return "unique_id,ds,y\n" + _rows(120, lambda n: f"{_quoted(text)},{n},{n % 7}")


def strange_tables(originals: Originals) -> Iterator[Hostile]:
    """Tables to train on, and to forecast from."""
    for what, data in TABLES.items():
        for name in ("own.csv", "own.parquet"):
            yield Hostile(
                f"{name} with {what}",
                "wave",
                _writing(name, data),
                (
                    *road("series", name)[:3],
                    ("run", "wave", f"--history={name}", "--steps=2", "--seed=1"),
                ),
            )
    for what, text in TEXTS.items():
        if isinstance(text, str):
            table = f"{_quoted(text)},b\n" + _rows(120, lambda n: f"{n % 7},{n % 5}")
            yield Hostile(
                f"a column called: {what}",
                "wave",
                _writing("own.csv", table),
                road("series", "own.csv", f"--target={text}", "--target=b")
                if text and "\0" not in text and text.isprintable()
                else road("series", "own.csv", "--target=b"),
            )
            yield Hostile(
                f"a series called: {what}",
                "wave",
                _writing("own.csv", _series_called(text)),
                road("series", "own.csv"),
            )


def strange_texts(originals: Originals) -> Iterator[Hostile]:
    """Texts to train on."""
    for what, text in TEXTS.items():
        if isinstance(text, str):
            content = (text[:200] + "the cat sat on the mat. ") * 30
            yield Hostile(
                f"a text of: {what}", "words", _writing("own.txt", content), road("text", "own.txt")
            )
    for what, data in {
        "no bytes": b"",
        "one character": b"a",
        "one character again and again": b"a" * 1000,
        "bytes that are no UTF-8": b"\xff" * 1000,
        "NUL": b"\0\x01" * 1000,
        "marks without letters": "a\u0301\u0302\u200d\ufe0f".encode() * 200,
        "every character": "".join(map(chr, range(1, 3000))).encode() * 2,
    }.items():
        yield Hostile(
            f"a text with {what}", "words", _writing("own.txt", data), road("text", "own.txt")
        )
