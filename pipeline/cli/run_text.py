"""``pipeline run`` of a text model."""

from typing import TYPE_CHECKING

import click

from pipeline.cli.options import chosen_seed, finite, standard_input
from pipeline.errors import MalformedError, UsageError

if TYPE_CHECKING:
    from pipeline.run.bundle import Bundle

TEXT_OPTIONS = (
    click.Option(["--prompt"], metavar="TEXT", help="To go on from.  [default: standard input]"),
    click.Option(
        ["--length"],
        type=click.IntRange(min=0),
        default=200,
        show_default=True,
        help="Characters to write.",
    ),
    click.Option(
        ["--temperature"],
        type=click.FloatRange(min=0),
        default=1.0,
        show_default=True,
        callback=finite,
        help="Divides the logits; 0 takes the likeliest.",
    ),
    click.Option(
        ["--top-k"],
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Draw from that many likeliest; 0 is off.",
    ),
    click.Option(
        ["--top-p"],
        type=click.FloatRange(min=0, max=1, min_open=True),
        default=1.0,
        show_default=True,
        callback=finite,
        help="Draw from the likeliest up to that share; 1 is off.",
    ),
    click.Option(
        ["--streams"],
        type=click.IntRange(min=1, max=4096),
        default=1,
        show_default=True,
        help="Texts to write at once.",
    ),
)
_SHOWN = 20  # unknown characters, in the line about them


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
    """Print what ``bundle`` writes after ``prompt``: one text as it comes, several at the end.

    Raises:
        UsageError: the prompt is not Unicode.
        MalformedError: standard input is not UTF-8, or the model gives NaN.
    """
    import numpy as np

    from pipeline.report.output import console, finish, write
    from pipeline.run.text import Written, generate
    from pipeline.signature import Sampling

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
    """The prompt that was given, or piped in; as it is, with the end of its last line."""
    if given is None:
        try:
            return standard_input().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise MalformedError(
                f"standard input: not UTF-8 at byte {error.start}; give the prompt as UTF-8"
            ) from error
    try:
        given.encode()
    except UnicodeEncodeError as error:  # bytes that the shell's encoding does not have
        raise UsageError(
            f"--prompt: not Unicode at character {error.start}; give it in the encoding of the "
            "terminal"
        ) from error
    return given


def _say_unknown(prompt: str, vocabulary: str) -> str:
    """The different characters of ``prompt`` that the model never saw, after saying so."""
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
