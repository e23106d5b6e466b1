"""``pipeline run`` of a text model."""

from functools import partial
from typing import TYPE_CHECKING

import click
import cloup

from pipeline.cli.options import COUNT, Integer, Number, chosen_seed, finite, group, standard_input
from pipeline.errors import MalformedError, UsageError

if TYPE_CHECKING:
    from pipeline.run.bundle import Bundle

_option = partial(cloup.Option, group=group("Text models"))
TEXT_OPTIONS = (
    _option(
        ["--prompt"],
        metavar="TEXT",
        help="Text that the model continues.  [default: standard input]",
    ),
    _option(["--length"], type=COUNT, default=200, help="Number of characters to write."),
    _option(
        ["--temperature"],
        type=Number(min=0),
        default=1.0,
        callback=finite,
        help="Divide the logits by this number. 0 always takes the likeliest character.",
    ),
    _option(
        ["--top-k"],
        type=COUNT,
        default=0,
        help="Draw only from this many likeliest characters. 0 is off.",
    ),
    _option(
        ["--top-p"],
        type=Number(min=0, max=1, min_open=True),
        default=1.0,
        callback=finite,
        help="Draw only from the likeliest characters that together have this probability. 1 is "
        "off.",
    ),
    _option(
        ["--streams"],
        type=Integer(min=1, max=4096),
        default=1,
        help="Number of texts to write at once.",
    ),
)
_SHOWN = 20  # unknown characters that the line about them shows


def run_text(
    bundle: "Bundle",
    seed: int | None,
    as_json: bool,
    *,
    prompt: str | None,
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    streams: int,
) -> None:
    """Print ``prompt`` and its continuation by ``bundle``.

    One text is printed character by character; several are printed at the end.

    Raises:
        UsageError: the prompt is not Unicode.
        MalformedError: standard input is not UTF-8, or the model gives NaN.
    """
    import numpy as np

    from pipeline.network_tensors import Sampling
    from pipeline.report.output import console, finish, write
    from pipeline.run.text import Written, generate

    graph, vocabulary = bundle.loop_graph, bundle.vocabulary or ""
    begin = _prompt(prompt)
    unknown = _say_unknown(begin, vocabulary)
    seed = chosen_seed(seed, is_drawn=temperature > 0 and length > 0)
    sampling = Sampling(temperature, top_k, top_p)
    rng = np.random.default_rng(seed)
    pieces = generate(graph, vocabulary, begin, length, streams, sampling, rng)
    if streams == 1 and not as_json:
        write(begin)
        try:
            for [(text, _)] in pieces:
                write(text)
        finally:
            click.echo()
        return
    written = [Written() for _ in range(streams)]
    with console().status("writing"):
        for piece in pieces:
            for stream, (text, log_prob) in zip(written, piece, strict=True):
                stream.add(text, log_prob)
    texts = ["".join(stream.parts) for stream in written]
    if not as_json:
        for number, text in enumerate(texts, start=1):
            write(f"── {number} ──\n{begin}{text}\n")
        return
    content = {
        "name": bundle.name,
        "prompt": begin,
        "unknown": unknown,
        "seed": seed,
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "texts": [
            {"text": text, "log_prob": stream.mean, "perplexity": stream.perplexity}
            for text, stream in zip(texts, written, strict=True)
        ],
    }
    finish(True, content, [])


def _prompt(given: str | None) -> str:
    """The prompt that was given, or else standard input, unchanged to its last line end."""
    if given is None:
        try:
            return standard_input().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise MalformedError(
                f"standard input: not UTF-8 at byte {error.start}; give the prompt as UTF-8"
            ) from error
    try:
        given.encode()
    except UnicodeEncodeError as error:  # Python keeps undecodable bytes as surrogates
        raise UsageError(
            f"--prompt: not Unicode at character {error.start}; give it in the encoding of the "
            "terminal"
        ) from error
    return given


def _say_unknown(prompt: str, vocabulary: str) -> str:
    """Print which characters of ``prompt`` the model does not know, and return them, each once."""
    from pipeline.report.output import say
    from pipeline.run.text import unknown_characters

    found = unknown_characters(prompt, vocabulary)
    different = "".join(dict.fromkeys(found))
    if found:
        count = "1 character" if len(found) == 1 else f"{len(found)} characters"
        more = "…" if len(different) > _SHOWN else ""
        verb = "is" if len(found) == 1 else "are"
        say(f"{count} of the prompt {verb} unknown to the model: {different[:_SHOWN] + more!r}")
    return different
