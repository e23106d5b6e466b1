"""``pipeline push``."""

from pathlib import Path

import click
import cloup

from pipeline.cli.options import bundle_argument, exported_option, json_option


@click.command(cls=cloup.Command)
@bundle_argument
@click.argument("repository", metavar="USER/REPO")
@click.option(
    "--license",
    "license_id",
    metavar="ID",
    help="License of the model as the Hub calls it: mit, apache-2.0, …  [default: the one on the "
    "page]",
)
@click.option("--private", is_flag=True, help="Create the repository as a private one.")
@exported_option
@json_option
def push(
    name: str, repository: str, license_id: str | None, private: bool, exported: Path, as_json: bool
) -> None:
    """Upload a bundle to the Hugging Face Hub.

    The repository is created if it is not there. Its page shows the model card, the scores of the
    training, and how close each runtime came, once the bundle is validated. You are the one who has
    logged in with "hf auth login", or whose token is in HF_TOKEN.

    \b
    pipeline push char-lstm ada/char-lstm --license mit
    """
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.hub.push import push as upload
    from pipeline.report.output import console, finish, say

    [folder] = find_bundles(exported, (name,))
    bundle = open_bundle(folder)
    model = bundle.manifest.name
    with console().status(f"uploading {model} to {repository}"):
        pushed = upload(bundle, repository, license_id, private)
    if not pushed.has_parity:
        say(f"{model}: without parity, which 'pipeline validate {model}' measures")
    say(f"{model}: {len(pushed.files)} files at {pushed.url}")
    content = {
        "name": model,
        "repository": repository,
        "url": pushed.url,
        "commit": pushed.commit,
        "files": pushed.files,
    }
    finish(as_json, content, [], f'in Python: pipeline.load("{repository}")')
