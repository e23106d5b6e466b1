"""Bundles on the Hugging Face Hub: the metadata of their page, pushed, and fetched."""
