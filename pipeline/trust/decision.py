"""The decision whether the TorchScript of a bundle may run.

It may if tracing the weights here gives the same bytes, if this user exported the module, if a
trusted key signed the bundle, or if the user allows all TorchScript.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.checkpoint import versions
from pipeline.contract import Bundle
from pipeline.contract.files import TORCHSCRIPT_FILE
from pipeline.errors import PipelineError, UnsafeError, one_line
from pipeline.trust.own_exports import was_exported_here
from pipeline.trust.signing import PublicKey

_MADE_BY = ("torch", "pipeline")  # packages whose versions decide the bytes of a trace


@dataclass(frozen=True)
class Verdict:
    """The decision on one file: ``refusal`` says why it may not run, and is empty if it may.

    ``note`` says by which permission it runs, and is empty if tracing again gave the same bytes.
    """

    refusal: str = ""
    note: str = ""


@dataclass(frozen=True)
class Trust:
    """The user's permissions for TorchScript that was made elsewhere.

    TorchScript of bundles that the owner of ``key`` signed may run; with ``everything``, all may.
    """

    everything: bool = False
    key: PublicKey | None = None
    _known: dict[tuple[Path, str], Verdict] = field(default_factory=dict, compare=False)

    @property
    def is_given(self) -> bool:
        """Whether any permission was given."""
        return self.everything or self.key is not None

    def judge(self, bundle: Bundle) -> Verdict:
        """Decide whether ``model.pt`` of ``bundle`` may run; the verdict is remembered.

        First, the weights of the bundle are traced here, and the digests are compared. A module
        cannot be traced anew: this user must have exported it. If that does not hold, the
        signature is verified; without a valid one, ``everything`` decides.

        Raises:
            MalformedError: a file of the bundle is missing or not what it should be.
            IntegrityError: a file of the bundle was changed.
        """
        place = (bundle.folder, bundle.digest)
        if place not in self._known:
            self._known[place] = self._judged(bundle)
        return self._known[place]

    def require(self, bundle: Bundle) -> None:
        """Make sure that ``model.pt`` of ``bundle`` may run; raises as :meth:`judge` does.

        Raises:
            UnsafeError: it may not.
        """
        if refusal := self.judge(bundle).refusal:
            raise UnsafeError(refusal)

    def _judged(self, bundle: Bundle) -> Verdict:
        why = why_not_ours(bundle)
        if why is None:
            return Verdict()
        if self.key is not None:
            try:
                self.key.verify(bundle)
            except PipelineError as error:
                why = f"{why}, and {error}"
            else:
                return Verdict(note=f"{TORCHSCRIPT_FILE} runs since {self.key.path.name} signed it")
        if self.everything:
            return Verdict(note=f"{TORCHSCRIPT_FILE} runs on --trust")
        return Verdict(
            f"{bundle.folder / TORCHSCRIPT_FILE} is code, and {why}; give --key with the public "
            "key of who signed it, or --trust if you know who made it"
        )


def why_not_ours(bundle: Bundle) -> str | None:
    """Why tracing the weights of ``bundle`` does not give its ``model.pt``; None if it does.

    Raises:
        MalformedError: a file of the bundle is missing or not what it should be.
        IntegrityError: a file of the bundle was changed.
    """
    if bundle.manifest.module is not None:
        if was_exported_here(bundle.digest):
            return None
        return "only the Python of its module could trace it anew, which is not in the bundle"
    from pipeline.bundle import network_of
    from pipeline.bundle.write import file_entry
    from pipeline.export.network.torchscript import to_torchscript

    network = network_of(bundle)
    try:
        ours = to_torchscript(network, bundle.manifest.spread)
    except Exception as error:  # errors of torch for weights that no exporter writes
        return f"its weights cannot be traced anew ({one_line(error)})"
    if bundle.manifest.files.get(TORCHSCRIPT_FILE) == file_entry(ours):
        return None  # every later read of the file checks this digest
    if bundle.format == 1:
        from pipeline.trust.first_trace import first_trace

        if bundle.manifest.files[TORCHSCRIPT_FILE].sha256 == first_trace(bundle):
            return None
    for name in _MADE_BY:
        then, now = bundle.manifest.versions.get(name), versions()[name]
        if then != now:
            return f"was traced by {name} {then}, where this is {now}, so export it anew"
    return "is not what tracing its weights gives, so somebody else made it"
