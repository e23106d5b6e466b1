"""A TorchScript archive with bytes that follow from what was traced alone.

torch names the class of a submodule after its Python class, ``__torch__.net.Block``. Where the
process has that name already, from whatever it traced or scripted before, torch puts a number into
it, ``__torch__.net.___torch_mangle_7.Block``, and counts on. The numbers are given anew, from 0.
"""

import io
import re
import zipfile
from collections.abc import Mapping

_NUMBER = re.compile(rb"___torch_mangle_(\d+)\b")
_OF_THIS_MACHINE = (".debug_pkl", "/serialization_id")


def all_numbered(archive: bytes) -> bool:
    """Whether every class in an archive has a number, and so a file of its own."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        files = [file for file in source.namelist() if "/code/" in file and file.endswith(".py")]
        return all(_NUMBER.search(file.encode()) for file in files)


def numbered_anew(archive: bytes) -> bytes:
    """The archive with new numbers, and without the files that tell where it was made."""
    files = archive_files(archive)
    old = sorted({int(number) for file in files for number in _NUMBER.findall(file.encode())})
    new = {number: k for k, number in enumerate(old)}

    def renumbered(found: re.Match[bytes]) -> bytes:
        number = int(found[1])
        return b"___torch_mangle_%d" % new.get(number, number)

    changed = {}
    for file, content in files.items():
        # Pickles name classes in lines of their own, without a length before them.
        if file.endswith((".py", ".pkl")):
            content = _NUMBER.sub(renumbered, content)
        changed[_NUMBER.sub(renumbered, file.encode()).decode()] = content
    return _stored(changed)


def numbered_as_it_is(archive: bytes) -> bytes:
    """The archive without the files that tell where it was made."""
    return _stored(archive_files(archive))


def replaced_files(archive: bytes, files: Mapping[str, bytes]) -> bytes:
    """The archive with other ``files``, or more of them."""
    return _stored(archive_files(archive) | dict(files))


def archive_files(archive: bytes) -> dict[str, bytes]:
    """The files of an archive by name, without those that tell where it was made.

    These are the map from code to lines of Python sources, with their paths, and the checksum over
    it. TorchScript does without both.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        return {
            entry.filename: source.read(entry)
            for entry in source.infolist()
            if not entry.filename.endswith(_OF_THIS_MACHINE)
        }


def _stored(files: Mapping[str, bytes]) -> bytes:
    target_bytes = io.BytesIO()
    with zipfile.ZipFile(target_bytes, "w", zipfile.ZIP_STORED) as target:
        for name, content in files.items():
            target.writestr(zipfile.ZipInfo(name), content)
    return target_bytes.getvalue()
