r"""Escaping of text that comes from anyone, one function for each language that it is put into.

Names of models, columns and files come from strangers. Whoever puts them into a terminal, Markdown,
HTML, XML or C calls the function for that language, so that they are read as plain text.
"""

import re
from html import escape

# Control characters; marks that change the direction of text (UAX #9, sections 2.1 to 2.4); ends of
# lines and paragraphs; lone surrogates, which no encoding has; and the two code points of the basic
# plane that are never characters.
_HIDDEN = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff"
_MARKDOWN = re.compile(r"[\\`*_\[\]<>&|~$#:@]")
_MARKS = "\u061c\u200e\u200f"  # direction marks that some scripts cannot be written without
_LONGEST = 60  # characters in a picture


def visible(text: str, keep: str = "") -> str:
    r"""``text`` for a terminal or a page, with hidden characters escaped as ``\x1b`` or ``\u202e``.

    Characters in ``keep`` are not escaped.
    """
    return re.sub(f"[{_HIDDEN}]", lambda found: _escaped(found[0], keep), text)


def prose(text: str) -> str:
    """``text`` for a terminal or a page, with its line ends, tabs and direction marks kept."""
    return visible(text, keep=f"\n\t{_MARKS}")


def _escaped(character: str, keep: str) -> str:
    if character in keep:
        return character
    return character.encode("unicode_escape").decode("ascii")


def json_text(text: str) -> str:
    """JSON for a terminal: the same content, with hidden characters as JSON escapes."""
    return re.sub(
        f"[{_HIDDEN}]",
        lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}",
        text,
    )


def markdown(text: str) -> str:
    """``text`` for a line or a table cell of Markdown.

    A backslash makes any punctuation literal (CommonMark 0.31.2, section 2.4).
    """
    return _MARKDOWN.sub(r"\\\g<0>", visible(text))


def picture_text(text: str) -> str:
    """``text`` for a picture: hidden characters are escaped, and long text is shortened."""
    shown = visible(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def xml(text: str) -> str:
    """``text`` without characters that XML forbids (XML 1.0, section 2.2), not yet escaped."""
    return re.sub(
        "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text
    )


def html(text: str) -> str:
    """``text`` for HTML, in an element or in a quoted attribute."""
    return escape(visible(text))


def c_comment(text: str) -> str:
    """``text`` for a comment of C: ASCII, without comment delimiters and trigraphs.

    Spaces are inserted into those (ISO/IEC 9899:1999, sections 5.2.1.1 and 6.4.9).
    """
    shown = visible(text).encode("ascii", "backslashreplace").decode("ascii")
    return re.sub(r"(?<=\*)(?=/)|(?<=/)(?=\*)|(?<=\?)(?=\?)", " ", shown)


def c_string(text: str) -> str:
    """``text`` as a string literal of C with its UTF-8 bytes, as octal escapes of three digits.

    ISO/IEC 9899:1999, section 6.4.4.4.
    """
    points = text.encode("utf-8", "backslashreplace")
    return '"' + "".join(map(_c_character, points)) + '"'


def _c_character(point: int) -> str:
    if point in b'"\\?':
        return f"\\{chr(point)}"
    return chr(point) if 0x20 <= point < 0x7F else f"\\{point:03o}"
