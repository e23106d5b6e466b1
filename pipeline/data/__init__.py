"""The data to train on, and the held-out input."""

from pipeline.config import SeriesSource, SineSource, TextSource
from pipeline.data.series import Series, sample_sine
from pipeline.data.text import Text, read_text

__all__ = ["Series", "Text", "load"]


def load(source: SineSource | SeriesSource | TextSource) -> Series | Text:
    """Read or generate the data that ``source`` describes.

    Raises:
        UsageError: an option of the source does not fit the file.
        MalformedError: the file is empty, not UTF-8, not numbers, or too short.
        UnavailableError: the file is Parquet and pyarrow is not installed.
        StorageError: it cannot be read.
    """
    if isinstance(source, SineSource):
        return sample_sine(source)
    if isinstance(source, SeriesSource):
        from pipeline.data.frames import read_series  # pandas takes long to import

        return read_series(source)
    return read_text(source)
