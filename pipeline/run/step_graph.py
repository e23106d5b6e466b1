"""A step graph added to a bundle: converted, held against the golden data, and written."""

from collections.abc import Callable
from functools import partial

from pipeline.bundle.step_graph import program_of, with_step_graph
from pipeline.contract import Bundle, open_bundle
from pipeline.contract.files import SIGNATURE_FILE, VALIDATION_FILE
from pipeline.contract.manifest import FORMAT
from pipeline.errors import MalformedError, ParityError, UsageError
from pipeline.runtimes.base import RuntimeProcessError
from pipeline.runtimes.converter import TIME_LIMIT, Converter
from pipeline.runtimes.isolated import Worker
from pipeline.runtimes.kind import Kind
from pipeline.runtimes.stepwise import Stepwise, step_sizes
from pipeline.storage import exclusive, update_folder
from pipeline.threads import torch_threads
from pipeline.trust.own_exports import remember_export, was_exported_here
from pipeline.validate.compare import compare
from pipeline.validate.judge import describe
from pipeline.validate.module import golden_answers


def export_step_graph(
    bundle: Bundle, kind: Kind, say: Callable[[str], None] = lambda line: None
) -> Bundle:
    """Convert ``bundle`` to the file of ``kind``, add it, and open the bundle anew.

    The converter is installed if it is not yet, which ``say`` is told. A signature and a
    validation, which are of the bundle without the file, are removed. The TorchScript of a module
    must be one that may run: :meth:`pipeline.trust.Trust.require`.

    Raises:
        UsageError: the bundle is a variant, or of format 1.
        MalformedError: it cannot be called step by step, or the converter refuses it.
        ParityError: the file gives other numbers than the golden data.
        UnavailableError: the converter cannot be installed.
        IntegrityError: a file of the bundle was changed.
        StorageError: the file system refused.
    """
    with exclusive(bundle.folder):
        return _added(open_bundle(bundle.folder), kind, say)


def _added(bundle: Bundle, kind: Kind, say: Callable[[str], None]) -> Bundle:
    manifest, converter = bundle.manifest, kind.converter
    assert converter is not None
    if manifest.variant is not None or bundle.format != FORMAT:
        what = "a variant" if manifest.variant else f"of format {bundle.format}"
        raise UsageError(f"{manifest.name} is {what}; name a bundle that this version exported")
    try:
        sizes = step_sizes(manifest.contract, manifest.axes)
        with torch_threads(manifest.parameters):
            program = program_of(bundle, sizes)
    except (ValueError, MalformedError) as error:
        raise MalformedError(f"{manifest.name} becomes no {kind.file}: {error}") from error
    data = _converted(bundle, kind, converter, program, sizes, say)
    known = was_exported_here(bundle.digest)
    files = with_step_graph(bundle, kind.file, data, sizes, kind.format)
    update_folder(bundle.folder, files, removed=(SIGNATURE_FILE, VALIDATION_FILE))
    found = open_bundle(bundle.folder)
    if known:
        remember_export(found.digest)
    return found


def _converted(
    bundle: Bundle,
    kind: Kind,
    converter: Converter,
    program: bytes,
    sizes: dict[str, int],
    say: Callable[[str], None],
) -> bytes:
    """The file of ``kind``, which has given the golden numbers in a process of its own."""
    manifest = bundle.manifest
    with Worker(TIME_LIMIT, converter.install(say)) as worker:
        try:
            data = worker.work(converter.convert, program)
        except (RuntimeProcessError, ImportError) as error:
            raise MalformedError(
                f"{manifest.name} becomes no {kind.file}: {kind.name} cannot convert it ({error})"
            ) from error
        opener = partial(Stepwise.opened, kind.openers(data, "cpu")[0], manifest.contract, sizes)
        try:
            runtime = worker.open(opener, manifest.parameters)
            for answer in golden_answers(bundle):
                record = compare(runtime, answer, manifest.tolerance["float32"])
                if not record.passed:
                    raise ParityError(
                        f"{manifest.name} becomes no {kind.file}: {kind.name} gives other numbers "
                        f"than the golden data ({describe(record)})"
                    )
        except RuntimeProcessError as error:
            raise ParityError(
                f"{manifest.name} becomes no {kind.file}: {kind.name} cannot run it ({error})"
            ) from error
    return data
