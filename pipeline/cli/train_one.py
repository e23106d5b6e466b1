"""One training of ``pipeline train``: skipped, resumed, or begun."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint
    from pipeline.cli.baselines import Baselines
    from pipeline.config import Config
    from pipeline.data import Series, Text
    from pipeline.train.callback import Callback


_EVERY = 60  # seconds of training after which a snapshot is taken in any case
_AT_LEAST = 2  # seconds of training after which a validation is followed by a snapshot


def train_one(
    config: "Config",
    data: "Series | Text",
    root: Path,
    device: str,
    baselines: "Baselines",
    resume: bool,
    force: bool,
    callbacks: "Sequence[Callback]" = (),
) -> tuple["Checkpoint", str]:
    """The checkpoint of ``config`` in ``root``, and whether it was ``unchanged`` or ``trained``.

    Raises:
        MalformedError: the data does not fit, or the loss became NaN or infinite.
        UnavailableError: PyTorch cannot train the network on this machine.
        StorageError: the file system refused, or another run holds the checkpoint.
        KeyboardInterrupt: Ctrl-C was pressed; a snapshot was saved to resume from.
    """
    from pipeline import checkpoint as store
    from pipeline.cli.interrupt import deferred_interrupt
    from pipeline.config import with_columns
    from pipeline.contract import SeriesScores
    from pipeline.data import Series
    from pipeline.report.output import console, say
    from pipeline.report.progress import spinner, training_bar
    from pipeline.storage import exclusive

    folder = root / config.name
    if isinstance(data, Series) and data.columns:
        config = with_columns(config, data.columns, data.targets)
    with exclusive(folder):
        if not force and (finished := store.finished_checkpoint(folder, config, data.digest)):
            store.drop_remains(folder, finished)
            say(f"{config.name}: unchanged")
            return finished, "unchanged"
        from pipeline.threads import weights_of
        from pipeline.train.batches import make_task
        from pipeline.train.scores import score
        from pipeline.train.speed import choose_device, on_threads, refusals
        from pipeline.train.trainer import Trainer

        with refusals():
            task = make_task(config, data)
            trainer = Trainer(config, task, choose_device(device), callbacks)
            given = (folder, config, data.digest, weights_of(trainer.network))
            if resume and (snapshot := store.load_snapshot(*given)):
                trainer.restore(snapshot)
                say(f"{config.name}: resuming after epoch {trainer.epoch}, step {trainer.step}")
            elif resume:
                say(f"{config.name}: nothing to resume, starting from the beginning")
            saved = trainer.seconds
            with (
                training_bar(console(), config.name) as bar,
                deferred_interrupt() as interrupted,
                closing(trainer.run()) as run,
            ):
                for progress in run:
                    bar.show(progress)
                    since, ended = trainer.seconds - saved, progress.validation_loss is not None
                    if interrupted() or since > _EVERY or (ended and since > _AT_LEAST):
                        store.save_snapshot(folder, trainer.snapshot(), config, data.digest)
                        saved = trainer.seconds
                    if interrupted():
                        raise KeyboardInterrupt
            assert trainer.threads is not None
            with spinner(console(), f"{config.name}: scoring"), on_threads(trainer.threads):
                scores = score(trainer.best_network(), data, config.training.window)
        if isinstance(data, Series) and isinstance(scores, SeriesScores):
            scores = scores.model_copy(update={"baselines": baselines.of(data)})
        checkpoint = store.save_checkpoint(folder, trainer, config, data, scores)
        for callback in callbacks:
            callback.score(scores)
    say(f"{config.name}: trained in {trainer.seconds:.0f} s")
    return checkpoint, "trained"
