"""Data to train on and inputs that training never saw."""

from pipeline.config import SeriesSource, SineSource, TextSource
from pipeline.data.series import Series, read_series, sample_sine
from pipeline.data.text import Text, read_text

__all__ = ["Series", "Text", "load"]


def load(source: SineSource | SeriesSource | TextSource) -> Series | Text:
    """Read or make what ``source`` describes.

    Raises:
        MalformedError: the file is empty, not UTF-8, not numbers, or too short.
        StorageError: it cannot be read.
    """
    if isinstance(source, SineSource):
        return sample_sine(source)
    if isinstance(source, SeriesSource):
        return read_series(source)
    return read_text(source)
