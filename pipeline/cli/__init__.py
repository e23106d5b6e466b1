"""The command line: joins the stages, prints, and exits. Heavy imports happen inside commands."""

from pipeline.cli.group import cli, main

__all__ = ["cli", "main"]
