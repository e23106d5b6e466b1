"""Names of strangers in every language that they are put into: they are read as those names."""

import csv
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import Here, go
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from networks_in_c import STRICT, network, run
from rich.table import Table
from tiny import refused, tool

from pipeline.bundle import open_bundle
from pipeline.embed.c.source import identifier, write_c
from pipeline.errors import UsageError
from pipeline.escaping import c_comment, c_string, json_text, markdown, picture_text, visible, xml
from pipeline.report.html import report_html
from pipeline.report.junit import junit_xml
from pipeline.report.output import PlainConsole, write
from pipeline.run.chart import terminal_chart
from pipeline.run.history import History
from pipeline.run.series import Forecast
from pipeline.validate import Validation, last_validation

COLUMNS = (  # as the first row of a CSV file can have them
    "<script>alert(1)</script> & <b>",
    "[/red] [bold]:smile:",
    r"$\foo{$ \$",
    "a|b `c` *d* _e_ ~~f~~",
    "[x](javascript:alert(1)) ![y](z)](",
    "# --- ??/ */ // /*",
    "\x1b[2J\x1b]0;gone\x07 \x9b31m",
    "abc\u202etxt.exe\u2066",
    "日本語 😀 café \u200d",
    "'; rm -rf ~; \" \\",
)
NAMES = (  # of models: words of C, of libraries and of our own, and what is no word
    *("exp", "tanh", "main", "errno", "NULL", "INFINITY", "int", "class", "model", "state"),
    *("step", "sem", "mtx", "atomic", "a-b", "a_b", "A-B", "a.b", "a--b", "-a-b", "model-a-b"),
    *("_Bool", "__x", "7", "2-model", "", "*-*", "日本", "ж", "*/ int x; /*", "??/", 'a"; x', "\\"),
    *("a\nb", "a\\\n", "\x1b[2J", "/* SIZES */", "/* NAMES */", "é" * 300, "\udcff", "\0"),
)
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
texts = st.text(max_size=30) | st.text(
    "*/?\\\"'`[]()<>&|$#:@_~ \n\r\t\x1b\u202e\udcffaé", max_size=20
)


# --- one model whose columns have such names, on its whole road


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a series, its checkpoint, and its bundle, of which all tests read."""
    folder = tmp_path_factory.mktemp("road")
    file = folder / "[red]<b>$x$.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        rows = np.random.default_rng(0).normal(size=(100, len(COLUMNS))).cumsum(axis=0)
        csv.writer(out).writerows([COLUMNS, *rows.tolist()])
    targets = [word for name in COLUMNS for word in ("--target", name)]
    small = ["--cell", "gru", "--hidden-size", "2", "--epochs", "1", "--window", "8"]
    train = ["train", "--series", str(file), *targets, *small, "--name", "nasty"]
    go(folder, train, ["export", "nasty"])
    return folder


@pytest.fixture
def pipeline(
    road: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    monkeypatch.chdir(road)
    return Here(monkeypatch, capsys)


def assert_nothing_hidden(*texts: str) -> None:
    for text in texts:
        assert HIDDEN.findall(text.replace("\n", "")) == []


def test_the_card_shows_the_columns(road: Path) -> None:
    card = (road / "exported/nasty/README.md").read_text(encoding="utf-8")
    seen = Seen(MarkdownIt("commonmark", {"html": True}).enable("table").render(card))
    assert set(seen.tags) <= {
        "h1",
        "h2",
        "p",
        "pre",
        "code",
        "table",
        *["thead", "tbody", "tr", "th", "td"],
    }
    shown = ", ".join(visible(name) for name in COLUMNS)
    assert f"the series [red]<b>$x$.csv, columns {shown} in this order" in seen.words


def test_terminals_get_no_control_characters_and_json_is_exact(pipeline: Here) -> None:
    history = ["--history", "[red]<b>$x$.csv", "--steps", "2", "--samples", "3", "--seed", "1"]
    for words in (["inspect", "nasty"], ["run", "nasty", *history, "--plot", "-"]):
        result = pipeline(*words)
        assert result.code == 0, result.err
        assert_nothing_hidden(result.out, result.err)
    flat = "".join(result.out.split())
    assert "[/red][bold]:smile:,rawunits" in flat
    assert r"abc\u202etxt.exe\u2066,rawunits" in flat
    made = pipeline("run", "nasty", *history, "--json")
    assert_nothing_hidden(made.out)
    assert tuple(json.loads(made.out)["columns"]) == COLUMNS
    facts = json.loads(pipeline("inspect", "nasty", "--json").out)[0]
    assert tuple(facts["source"]["columns"]) == COLUMNS


@pytest.mark.parametrize("words", [["--id", "x\x1b[2J"], ["--time", "\x1b[2J[/red]"]])
def test_errors_show_what_is_hidden_in_them(pipeline: Here, words: list[str]) -> None:
    result = pipeline("train", "--series", "[red]<b>$x$.csv", *words)
    assert result.code == 2
    assert_nothing_hidden(result.err)
    result.one_line_error(r"\x1b[2J")


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_pictures_have_any_name_in_them(pipeline: Here, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"fan.{ending}"
    result = pipeline("run", "nasty", "--history", "[red]<b>$x$.csv", "--plot", str(file))
    assert (result.code, result.err) == (0, f"drawn: {file}\n")
    if ending == "svg":
        ElementTree.parse(file)
        assert "<!-- <script" not in file.read_text(encoding="utf-8").partition("<g ")[0]


def test_the_report_and_junit_hold_any_name(pipeline: Here, tmp_path: Path) -> None:
    page, junit = tmp_path / "page.html", tmp_path / "junit.xml"
    chosen = ["--runtime", "onnxruntime", "--provider", "cpu"]
    result = pipeline("validate", "nasty", *chosen, "--report", str(page), "--junit", str(junit))
    assert result.code == 0, result.err
    assert "script" not in Seen(page.read_text(encoding="utf-8")).tags
    assert ElementTree.parse(junit).getroot().attrib["failures"] == "0"
    bundle = open_bundle(Path("exported/nasty"))
    validation = last_validation(bundle)
    assert validation is not None

    def named(name: str) -> Validation:
        parts = {"model": name, "runtime": f"onnxruntime {name}", "reason": name}
        rows = tuple(row.model_copy(update=parts) for row in validation.rows)
        return validation.model_copy(update={"model": name, "rows": rows, "machine": name})

    name = "\0".join(COLUMNS)
    plain, evil = (Seen(report_html([(bundle, named(one))]).decode()) for one in ("a", name))
    assert evil.tags == plain.tags
    assert evil.words.count(visible(name)) > 3
    assert_nothing_hidden(evil.words)
    suite = ElementTree.fromstring(junit_xml([named(name)])).find("testsuite")
    assert suite is not None
    assert suite.attrib["name"] == xml(name)


def test_the_next_command_can_be_pasted(pipeline: Here, tmp_path: Path) -> None:
    out = tmp_path / "$(touch gone) it's"
    result = pipeline("embed", "nasty", "c", "--out", str(out))
    line = next(text for text in result.err.splitlines() if text.startswith("next: "))
    line = line.removeprefix("next: ") + " && cat README.md"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == (out / "README.md").read_bytes()
    assert not (tmp_path / "gone").exists()


# --- C


def test_whatever_a_model_is_called_its_c_compiles_and_means_nothing_else(tmp_path: Path) -> None:
    made = network("rnn", 2, features=1, targets=1)
    includes, calls, objects = [], [], []
    flags = [*STRICT, "-O0", "-DMODEL_PLAIN", "-c"]
    for number, name in enumerate(NAMES):
        folder = tmp_path / str(number)
        folder.mkdir()
        for file, data in write_c(made.stored(), name, name[:100]).items():
            (folder / file).write_bytes(data)
        run([tool("gcc"), *flags, "model.c"], folder)
        prefix, upper = identifier(name), identifier(name).upper()
        includes.append(f'#include "{number}/model.h"\n')
        calls.append(
            f"    {{ float s[{upper}_STATE], y[{upper}_OUTPUTS], x[{upper}_FEATURES] = {{1}};\n"
            f"      {prefix}_init(s); {prefix}_step(s, x, y); if (y[0] == y[0]) sum++; }}\n"
        )
        objects.append(f"{number}/model.o")
    headers = "#include <atomic>\n#include <cmath>\n#include <cstdio>\n#include <semaphore.h>\n"
    body = f'int main() {{\n    int sum = 0;\n{"".join(calls)}    std::printf("%d", sum);\n}}\n'
    (tmp_path / "main.cpp").write_text(headers + "".join(includes) + body, encoding="utf-8")
    strict = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    run([tool("g++"), *strict, "-o", "main", "main.cpp", *objects], tmp_path)
    assert run(["./main"], tmp_path) == str(len(NAMES))


@settings(max_examples=300, deadline=None)
@given(texts, texts)
@example("a-b", "a_b")
@example("a-b", "A-B")
@example("2-b", "model-2-b")
@example("", "model")
def test_two_names_are_two_in_c(one: str, other: str) -> None:
    assert re.fullmatch("[a-z][a-z0-9_]*", identifier(one))
    assert "__" not in identifier(one)
    assert (identifier(one) == identifier(other)) == (one == other)


def test_a_digest_that_is_none_is_refused() -> None:
    with refused(UsageError, "5000 characters"):
        write_c(network("rnn", 2).stored(), "net", "x" * 5000)


def test_strings_and_comments_of_c_hold_any_text(tmp_path: Path) -> None:
    """One program for many texts, since a compiler is slow to start."""

    @settings(max_examples=2, deadline=None)
    @given(st.lists(texts, min_size=60, max_size=80))
    def compiled(examples: list[str]) -> None:
        examples = [*examples, *COLUMNS, *NAMES]
        rows = "".join(
            f"    /* {c_comment(text)} */ {{{c_string(text)}, sizeof {c_string(text)} - 1}},\n"
            for text in examples
        )
        (tmp_path / "main.c").write_text(
            "#include <stdio.h>\nstatic const struct { const char *text; size_t size; } all[] = {\n"
            f"{rows}}};\nint main(void) {{\n    size_t i, k;\n"
            "    for (i = 0; i < sizeof all / sizeof *all; i++, putchar('\\n'))\n"
            "        for (k = 0; k < all[i].size; k++)\n"
            '            printf("%02x", (unsigned char)all[i].text[k]);\n    return 0;\n}\n',
            encoding="ascii",
        )
        run([tool("gcc"), *STRICT, "-o", "main", "main.c"], tmp_path)
        found = [bytes.fromhex(line) for line in run(["./main"], tmp_path).splitlines()]
        assert found == [text.encode("utf-8", "backslashreplace") for text in examples]

    compiled()


# --- the functions, whatever is put into them


class Seen(HTMLParser):
    """The tags of a page, and the words that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


@settings(max_examples=300, deadline=None)
@given(texts)
def test_markdown_is_read_as_the_text(text: str) -> None:
    page = MarkdownIt("gfm-like", {"linkify": False}).render(
        f"| x |\n|---|\n| a{markdown(text)}b |\n"
    )
    seen = Seen(page)
    assert set(seen.tags) <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert seen.words.split() == f"x a{visible(text)}b".split()


@settings(max_examples=300, deadline=None)
@given(texts)
def test_xml_holds_the_text(text: str) -> None:
    element = ElementTree.Element("a", name=xml(text))
    element.text = xml(text)
    back = ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8"))
    assert back.attrib["name"].replace("\n", " ") == xml(text).replace("\n", " ")


@settings(max_examples=300, deadline=None)
@given(texts)
def test_tables_show_the_text(text: str) -> None:
    console = PlainConsole(stderr=False)
    console.file = io.StringIO()
    console.width = 400
    table = Table(title=text)
    table.add_column(text, no_wrap=True)
    table.add_row(text)
    console.print(table, text)
    shown = console.file.getvalue()
    assert_nothing_hidden(shown)
    assert visible(text).strip() in shown


@settings(max_examples=300, deadline=None)
@given(texts)
def test_json_is_exact_and_shows_what_is_hidden(text: str) -> None:
    made = json_text(json.dumps({text: [text]}, ensure_ascii=False, indent=2))
    assert_nothing_hidden(made)
    assert json.loads(made) == {text: [text]}
    made.encode()


@given(texts)
def test_text_is_shown_as_it_is_but_for_what_is_hidden(text: str) -> None:
    assert_nothing_hidden(visible(text), picture_text(text))
    assert visible(text, keep=text) == text
    assert visible(visible(text)) == visible(text)
    assert visible(text) == text or any(not one.isprintable() for one in text)


def test_a_chart_in_the_terminal_shows_what_is_hidden_in_a_name() -> None:
    flat = np.full((5, 1), 7, np.float32)
    past = History(("\x1b[2J[/red]",), flat, None, None)
    made = Forecast(past, flat, np.zeros((0, 5, 1), np.float32), past.ahead(5))
    assert terminal_chart(made, 0, 60).plain.startswith(r"\x1b[2J[/red], raw units")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (Terminal(), "a\n\tb \\x1b[2J\\u202e\\r \u200fב"),
        (io.StringIO(), "a\n\tb \x1b[2J\u202e\r \u200fב"),
    ],
    ids=["terminal", "pipe"],
)
def test_a_terminal_gets_the_text_of_a_model_without_its_control_characters(
    monkeypatch: pytest.MonkeyPatch, output: io.StringIO, shown: str
) -> None:
    monkeypatch.setattr(sys, "stdout", output)
    write("a\n\tb \x1b[2J\u202e\r \u200fב")
    assert output.getvalue() == shown
