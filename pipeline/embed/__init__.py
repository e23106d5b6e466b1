"""Small projects that carry an exported model into other people's code."""
