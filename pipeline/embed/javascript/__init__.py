"""What targets in JavaScript share: modules, and the two programs of those that run in Node.js."""

from pathlib import Path

from pipeline.embed.target import Program

_HERE = Path(__file__).parent

MODULES = _HERE / "modules"
"""The bundle, the replay and random numbers, for browsers and for Node.js."""

PROGRAMS = _HERE / "programs"
"""``replay.mjs`` and ``example.mjs``, which run in Node.js with the ``model.mjs`` of a target."""

REPLAY = ("node", "replay.mjs")
NODE = Program("node", "nodejs")
NPM = Program("npm")
INSTALL = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
"""The command that gets what ``package.json`` asks for, and runs nothing of it."""
