"""``pipeline sign`` and ``pipeline verify``: the signature of a bundle."""

from pathlib import Path

import click
import cloup

from pipeline.cli.options import exported_option, json_option, named_bundles_argument
from pipeline.cli.trust import key_option


@click.command(cls=cloup.Command)
@named_bundles_argument
@key_option("Private key to sign with: elliptic curve, without a password.", required=True)
@exported_option
@json_option
def sign(names: tuple[str, ...], key: Path, exported: Path, as_json: bool) -> None:
    """Sign bundles with a private key.

    Others can then verify that the bundles come from you and are unchanged. The signature is
    written to model.sig in the bundle and covers all files but validation.json.
    OpenSSL makes a pair of keys; keep the private one, and give the public one to your users:

    \b
    openssl ecparam -name prime256v1 -genkey -noout \\
        -out private.pem
    openssl ec -in private.pem -pubout -out public.pem
    pipeline sign sine-lstm --key private.pem
    """
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.contract.files import MANIFEST_FILE, SIGNATURE_FILE
    from pipeline.lookup import model_name
    from pipeline.report.output import finish, say
    from pipeline.storage import exclusive, write_file
    from pipeline.trust import sign_bundle

    signed = []
    for folder in find_bundles(exported, names):
        with exclusive(folder):
            signature = folder / SIGNATURE_FILE
            write_file(signature, sign_bundle(open_bundle(folder), key))
        name = model_name(folder, MANIFEST_FILE)
        say(f"{name}: signed with {key}")
        signed.append({"name": name, "signature": str(signature)})
    finish(as_json, signed, [])


@click.command(cls=cloup.Command)
@named_bundles_argument
@key_option("Public key of the signer.", required=True)
@exported_option
@json_option
def verify(names: tuple[str, ...], key: Path, exported: Path, as_json: bool) -> None:
    """Verify the signatures of bundles with a public key.

    The exit code is 5 if the key did not sign a bundle, or the bundle was changed since.

    \b
    pipeline verify sine-lstm --key public.pem
    """
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.contract.files import MANIFEST_FILE
    from pipeline.lookup import model_name
    from pipeline.report.output import finish, say
    from pipeline.trust import PublicKey

    public = PublicKey(key)
    verified = []
    for folder in find_bundles(exported, names):
        public.verify(open_bundle(folder))
        name = model_name(folder, MANIFEST_FILE)
        say(f"{name}: as signed by the owner of {key}")
        verified.append({"name": name, "key": str(key)})
    finish(as_json, verified, [])
