"""Bundles put into other languages: projects that people copy, and the proof that they work."""
