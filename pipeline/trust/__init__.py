"""The decision whether TorchScript may run: it is code, and a bundle may come from a stranger."""

from pipeline.trust.decision import Trust, Verdict
from pipeline.trust.signing import PublicKey, sign_bundle

__all__ = ["PublicKey", "Trust", "Verdict", "sign_bundle"]
