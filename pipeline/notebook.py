"""HTML by which an object shows itself in a notebook, in the colours of the notebook."""

from collections.abc import Iterable, Sequence

from pipeline.escaping import html

_LEFT = ' style="text-align: left"'


def shown(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()
) -> str:
    """A title, a table and a line for each note; all of them are text and are escaped."""
    head = "".join(f"<th{_LEFT}>{html(column)}</th>" for column in columns)
    body = "".join(
        f"<tr>{''.join(f'<td{_LEFT}>{html(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    lines = "".join(f"<li>{html(note)}</li>" for note in notes)
    return (
        f"<strong>{html(title)}</strong>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{f'<ul>{lines}</ul>' if lines else ''}"
    )
