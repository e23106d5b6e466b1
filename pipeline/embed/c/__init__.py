"""C99 of a network."""

from pipeline.embed.c.source import c_source, identifier, write_c

__all__ = ["c_source", "identifier", "write_c"]
