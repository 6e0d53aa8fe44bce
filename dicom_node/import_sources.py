"""Where importable files come from: folders, single files, a DICOMDIR, zip archives. Called by `importer`.

Yields what may hold an instance, in a stable order, opening nothing but archives and directories. The rule: nothing is
ever written, so a member's name leads nowhere (no zip-slip); a DICOMDIR names files below its own folder only; symbolic
links to folders and whatever is no regular file are passed over.
"""

import os
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from pydicom import dcmread
from pydicom.uid import MediaStorageDirectoryStorage

from dicom_node.errors import Rejected

ZIP_START = b"PK\x03\x04"
PART10_PREFIX_AT = 128
MAXIMUM_MEMBERS = 2_000_000
# A member may be that large whatever its ratio: an empty segmentation packs a thousand to one.
HARMLESS_BYTES = 256 << 20
MAXIMUM_RATIO = 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file or member that may hold an instance: its name for a person, and what tells it from a changed one."""

    name: str
    size_bytes: int
    modified_ns: int
    open: Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not imported, and why."""

    name: str
    reason: str


def find(paths: Iterable[Path]) -> Iterator[Candidate | Refusal]:
    """Go through `paths` and yield what there is to import, or why a thing cannot be."""
    for path in paths:
        try:
            yield from _of_path(path.absolute())
        except (OSError, Rejected) as error:
            yield Refusal(str(path), reason_of(error))


def reason_of(error: Exception) -> str:
    """Return an error's text without the path, which stands beside it."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _of_path(path: Path) -> Iterator[Candidate | Refusal]:
    if path.is_dir():
        yield from _of_folder(path)
    elif path.name.upper() == "DICOMDIR":
        yield from _of_dicomdir(path)
    else:
        yield from _of_file(path)


def _of_folder(folder: Path) -> Iterator[Candidate | Refusal]:
    """Yield the files below `folder`, each folder's own first, by name."""
    refused: list[Refusal] = []
    for root, folders, files in os.walk(folder, onerror=lambda error: refused.append(_refusal_of(error))):
        folders.sort()
        for name in sorted(files):
            path = Path(root, name)
            try:
                if stat.S_ISREG(path.stat().st_mode):
                    yield from _of_file(path)
            except (OSError, Rejected) as error:
                yield Refusal(str(path), reason_of(error))
        yield from refused
        refused.clear()
    yield from refused


def _refusal_of(error: OSError) -> Refusal:
    return Refusal(str(error.filename), reason_of(error))


def _of_file(path: Path) -> Iterator[Candidate | Refusal]:
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise Rejected("not a regular file")
    if _is_zip(path):
        yield from _of_zip(path, facts.st_mtime_ns)
    else:
        yield Candidate(str(path), facts.st_size, facts.st_mtime_ns, partial(_open_file, path))


def _open_file(path: Path) -> BinaryIO:
    return path.open("rb")


def _open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    return cast("BinaryIO", archive.open(member))


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(PART10_PREFIX_AT + 4)
    return head.startswith(ZIP_START) and head[PART10_PREFIX_AT:] != b"DICM"


def _of_zip(path: Path, modified_ns: int) -> Iterator[Candidate | Refusal]:
    try:
        # Left open for the candidates, which are opened later; closed with the last of them.
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise Rejected("a damaged zip archive") from error
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAXIMUM_MEMBERS:
        raise Rejected(f"a zip archive of more than {MAXIMUM_MEMBERS} members")
    for member in members:
        name = f"{path}!{member.filename}"
        if reason := _why_not(member):
            yield Refusal(name, reason)
        else:
            yield Candidate(name, member.file_size, modified_ns, partial(_open_member, archive, member))


def _why_not(member: zipfile.ZipInfo) -> str:
    if member.flag_bits & 1:
        return "encrypted"
    if member.file_size > max(HARMLESS_BYTES, MAXIMUM_RATIO * member.compress_size):
        return f"packed more than {MAXIMUM_RATIO} to 1"
    return ""


def _of_dicomdir(path: Path) -> Iterator[Candidate | Refusal]:
    for parts in _referenced(path):
        try:
            yield from _of_file(_below(path.parent, parts))
        except (OSError, Rejected) as error:
            yield Refusal("/".join((str(path.parent), *parts)), reason_of(error))


def _referenced(path: Path) -> list[list[str]]:
    """Return the Referenced File IDs (PS3.3 F.3.2.2) of a DICOMDIR, as lists of path components."""
    try:
        directory = dcmread(path)
        if directory.file_meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage:
            raise Rejected("not a DICOMDIR")
        file_ids = [record.get("ReferencedFileID") for record in directory.get("DirectoryRecordSequence", [])]
        if not any(file_ids):
            raise Rejected("the DICOMDIR names no file")
        return [_components(file_id) for file_id in file_ids if file_id]
    except (Rejected, OSError):
        raise
    except Exception as error:
        raise Rejected(f"the DICOMDIR cannot be read: {type(error).__name__}") from error


def _components(file_id: str | Sequence[str]) -> list[str]:
    return [file_id] if isinstance(file_id, str) else [str(component) for component in file_id]


def _below(folder: Path, parts: list[str]) -> Path:
    """Return the file of a Referenced File ID; media copied to a disk often have their names in lower case."""
    if any(part in {"", ".", ".."} or "/" in part or "\0" in part for part in parts):
        raise Rejected("the DICOMDIR names a file outside of its folder")
    path = folder.joinpath(*parts)
    lower = folder.joinpath(*(part.lower() for part in parts))
    found = lower if not path.exists() and lower.exists() else path
    if not found.resolve().is_relative_to(folder.resolve()):
        raise Rejected("the DICOMDIR names a file outside of its folder")
    return found
