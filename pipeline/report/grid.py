"""Tables that fit a terminal of any width without cutting or breaking a name or a number.

A table that is too wide wraps its titles and sentences. If that is not enough, it is printed in
blocks, each with some of the columns beside the keys of the rows, or is turned. If not even one
column fits beside the keys, each row becomes a short list.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from pipeline.escaping import visible
from pipeline.terminal import words, wrapped

ColumnKind = Literal["name", "number", "words", "bar"]
Block = list[tuple["Column", int]]  # columns and their widths, those of the keys first
_GAP = 2  # spaces between two columns
_BAR = (10, 40)  # least and greatest length of a bar
_ASCII = str.maketrans({"✓": "ok", "✗": "FAIL", "–": "-", "∞": "inf", "×": "x", "µ": "u"})


@dataclass
class Column:
    """A column of a :class:`Grid`.

    A ``name`` may be wrapped after a comma, ``words`` at any space, and a ``number`` nowhere. A
    ``bar`` is drawn from the share of its full length, 0 to 1.
    """

    title: str
    kind: ColumnKind
    style: str = ""
    cells: list[Text] = field(default_factory=list)

    @property
    def least(self) -> int:
        """The smallest width in which nothing is broken."""
        if self.kind == "bar":
            return _BAR[0]
        texts = [cell.plain for cell in self.cells]
        if self.kind == "name":
            parts = [line for text in texts for line in _name_lines(text, 0)]
        else:
            parts = [part for text in texts for part in self._parts(text)]
        return max(map(cell_len, (*words(self.title), *parts)))

    @property
    def most(self) -> int:
        """The width that the column takes if there is room enough."""
        if self.kind == "bar":
            return _BAR[1]
        return max(map(cell_len, (self.title, *(cell.plain for cell in self.cells))))

    def _parts(self, text: str) -> Sequence[str]:
        return words(text) if self.kind == "words" else (text,)

    def cell(self, index: int, width: int, dash: str = "━") -> Text:
        """The cell of row ``index`` as it is shown in ``width``; bars are made of ``dash``."""
        cell = self.cells[index]
        if self.kind == "bar":
            return Text(dash * round(float(cell.plain or 0) * width), "cyan")
        if self.kind == "words":
            lines = wrapped(cell.plain, width, hanging="")
        else:
            lines = _name_lines(cell.plain, width)
        return Text("\n".join(lines), cell.style)


def _name_lines(text: str, width: int) -> list[str]:
    """``text`` as lines that are broken after commas alone, if it is wider than ``width``."""
    first, *others = text.split(", ")
    lines = [first]
    for part in others:
        if cell_len(f"{lines[-1]}, {part}") <= width:
            lines[-1] += f", {part}"
        else:
            lines[-1] += ","
            lines.append(f"  {part}")
    return lines


class Grid:
    """A table: the first columns name the rows, and the others hold what is known of them.

    The first ``keys`` columns tell the rows apart, and stand in every block; of the others, those
    that say nothing of any row are left out. If ``turns`` is set, rows become columns where that
    takes fewer blocks and fewer lines.
    """

    def __init__(
        self, title: str, names: str, *numbers: str, keys: int = 1, turns: bool = False
    ) -> None:
        self.title, self.keys, self.turns = visible(title), keys, turns
        self.columns: list[Column] = []
        self.add_column(names, "name")
        for column in numbers:
            self.add_column(column)

    def add_column(self, title: str, kind: ColumnKind = "number", style: str = "") -> None:
        """Add a column on the right, before any row is added."""
        self.columns.append(Column(visible(title), kind, style))

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """Add a row; cells that are left out are empty."""
        given = (*cells, *[""] * (len(self.columns) - len(cells)))
        for column, cell in zip(self.columns, given, strict=True):
            text = cell if isinstance(cell, Text) else Text(visible(cell))
            column.cells.append(Text(text.plain, style=text.style or style))

    @property
    def row_count(self) -> int:
        """The number of rows."""
        return len(self.columns[0].cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table in the layout that takes the fewest lines of ``options.max_width``."""
        width, self = options.max_width, self._filled()
        if options.ascii_only:
            self = self._in_ascii()
        if self.title:
            yield from _unbroken(wrapped(self.title, width), "bold")
        dash = "-" if options.ascii_only else "━"
        shown, blocks = self, self._blocks(width)
        if self.turns and (blocks is None or len(blocks) > 1):
            turned = self._turned()
            others = turned._blocks(width)
            if blocks is None or (
                others is not None
                and len(others) < len(blocks)
                and turned._lines(others) < self._lines(blocks)
            ):
                shown, blocks = turned, others
        yield from shown._lists(width) if blocks is None else shown._tables(blocks, dash)

    def _filled(self) -> "Grid":
        """The same table without the columns whose cells are all empty."""
        made = Grid(self.title, "", keys=self.keys, turns=self.turns)
        keys, others = self.columns[: self.keys], self.columns[self.keys :]
        said = [column for column in others if any(cell.plain for cell in column.cells)]
        made.columns = [*keys, *(said if self.row_count else others)]
        return made

    def _in_ascii(self) -> "Grid":
        """The same table for a terminal that cannot show the signs in it."""
        made = Grid(self.title.translate(_ASCII), "", keys=self.keys, turns=self.turns)
        made.columns = [
            Column(
                column.title.translate(_ASCII),
                column.kind,
                column.style,
                [Text(cell.plain.translate(_ASCII), cell.style) for cell in column.cells],
            )
            for column in self.columns
        ]
        return made

    def _turned(self) -> "Grid":
        """The same table with a row for each column."""
        names, *others = self.columns
        turned = Grid(self.title, "", *(cell.plain for cell in names.cells))
        for column in others:
            turned.add_row(column.title, *column.cells)
        return turned

    def _blocks(self, width: int) -> list[Block] | None:
        """The columns in blocks that fit into ``width``; None if a column does not fit.

        A column of words stands in one block with all others. The more the keys are wrapped, the
        fewer blocks there are; the width of the keys that takes the fewest lines is chosen.
        """
        gaps, keys = _GAP * (self.keys - 1), self.columns[: self.keys]
        most = gaps + sum(column.most for column in keys)
        least = gaps + sum(column.least for column in keys)
        found = [self._packed(width, room) for room in range(most, least - 1, -1)]
        fitting = [blocks for blocks in found if blocks is not None]
        return min(fitting, key=self._lines, default=None)

    def _packed(self, width: int, room: int) -> list[Block] | None:
        """The columns in as few blocks as there can be beside keys that take ``room``."""
        keys, others = self.columns[: self.keys], self.columns[self.keys :]
        named = [*zip(keys, _widths(keys, room + _GAP), strict=True)]
        parts: list[list[Column]] = [[]]
        used = room
        for column in others:
            used += _GAP + column.least
            if used > width and parts[-1]:
                parts.append([])
                used = room + _GAP + column.least
            if used > width:
                return None
            parts[-1].append(column)
        if len(parts) > 1:
            if any(column.kind == "words" for column in others):
                return None
            parts = _evenly(others, len(parts), width - room) or parts
        return [[*named, *zip(part, _widths(part, width - room), strict=True)] for part in parts]

    def _lines(self, blocks: Sequence[Block]) -> int:
        """The number of lines that ``blocks`` take."""
        total = 0
        for block in blocks:
            total += 2 + max(len(wrapped(column.title, width)) for column, width in block)
            for index in range(self.row_count):
                cells = [column.cell(index, width).plain for column, width in block]
                total += 1 + max(cell.count("\n") for cell in cells)
        return total

    def _tables(self, blocks: Sequence[Block], dash: str) -> RenderResult:
        """The blocks as tables of rich, with an empty line between two of them."""
        for number, block in enumerate(blocks):
            if number:
                yield ""
            table = Table(
                box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
            )
            for column, width in block:
                title = Text("\n".join(wrapped(column.title, width, hanging="")))
                table.add_column(
                    title,
                    justify="right" if column.kind == "number" else "left",
                    style=column.style,
                    width=width,
                    no_wrap=True,
                )
            for index in range(self.row_count):
                table.add_row(*(column.cell(index, width, dash) for column, width in block))
            yield table

    def _lists(self, width: int) -> RenderResult:
        """The name of each row, and below it what the other columns say."""
        names, *others = self.columns
        for index, name in enumerate(names.cells):
            yield from _unbroken(wrapped(name.plain, width, hanging=""), "bold")
            for column in others:
                cell = column.cells[index]
                if cell.plain and column.kind != "bar":
                    line = f"{column.title}: {cell.plain}"
                    yield from _unbroken(wrapped(line, width, "  ", "    "), str(cell.style))


def _unbroken(lines: Iterable[str], style: str) -> Iterator[Text]:
    for line in lines:
        yield Text(line, style, no_wrap=True, overflow="ignore")


def _evenly(columns: Sequence[Column], count: int, room: int) -> list[list[Column]] | None:
    """``columns`` in ``count`` parts of equal length; None if a part does not fit into ``room``."""
    size = -(-len(columns) // count)
    parts = [list(columns[start : start + size]) for start in range(0, len(columns), size)]
    if all(sum(_GAP + column.least for column in part) <= room for part in parts):
        return parts
    return None


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """The widths of ``columns``: what each needs, and an equal share of the room that is left."""
    widths = [column.least for column in columns]
    spare = room - sum(widths) - _GAP * len(columns)
    wishes = [column.most - column.least for column in columns]
    for served, index in enumerate(sorted(range(len(columns)), key=wishes.__getitem__)):
        extra = min(wishes[index], spare // (len(columns) - served))
        widths[index] += extra
        spare -= extra
    return widths
