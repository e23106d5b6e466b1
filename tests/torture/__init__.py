"""The suite that counts what the pipeline survives: ``PYTHONPATH=tests python -m torture``.

    flips      one bit of a file is changed, and every command that uses the file reads it
    hostile    bundles, checkpoints and files as a stranger makes them, through every command
    kills      kill -9 at random moments of every stage, then the stage again
    full-disk  every stage on a disk that is too small, step by step until it fits
    fuzz       manifests, checkpoints, golden data, tables and command lines by hypothesis

Commands run in forks of one process that has all libraries loaded (``forked``), on models that are
trained for an instant (``originals``); what they leave is judged in one place (``verdict``). A seed
gives the same cases again.
"""
