"""Projects that run a bundle in other languages, and the proof that they work."""
