"""One file's bytes out of its wrapping, in memory and bounded: nothing is ever written to disk."""

import gzip
import zipfile
import zlib
from io import BytesIO
from typing import Final

from crypto_platform.errors import UnreadableFileError

UNPACKED_CAP: Final = 256 * 1024 * 1024  # ten years of one-minute candles, and an hourly file is a hundredth of it
GZIP: Final = b"\x1f\x8b"
ZIP: Final = b"PK"

# RuntimeError: the member is encrypted; NotImplementedError: a compression that Python does not know.
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


def unwrapped(content: bytes, name: str, cap: int = UNPACKED_CAP) -> bytes:
    """Bytes of a file that may be gzipped or the only one in a zip, which its first bytes say.

    Raises
    ------
    UnreadableFileError
        As `only_member`.
    """
    if content.startswith(GZIP):
        return _gunzipped(content, name, cap)
    if content.startswith(ZIP):
        return only_member(content, name, cap)[1]
    return content


def only_member(content: bytes, name: str, cap: int = UNPACKED_CAP) -> tuple[str, bytes]:
    """Name and bytes of the one file in a zip.

    Parameters
    ----------
    content : bytes
        The zip.
    name : str
        What messages call it.
    cap : int
        Bytes that may come out.

    Raises
    ------
    UnreadableFileError
        No zip, damaged (each member carries a CRC), encrypted, of no or several files, or of more than `cap` bytes.

    Notes
    -----
    The member's name is data: it is compared, never opened, so it cannot lead out of a folder. `zipfile` gives no
    more bytes than the member declares, and what it declares is bounded.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise UnreadableFileError(f"{name} holds {len(members)} files; a zip of candles holds one")
            if members[0].file_size > cap:
                raise UnreadableFileError(f"{name} would unpack to more than {cap} bytes; no file of candles does")
            return members[0].filename, archive.read(members[0])
    except _BROKEN as error:
        raise UnreadableFileError(f"{name} is damaged ({error}); get it again") from error


def _gunzipped(content: bytes, name: str, cap: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as file:
            body = file.read(cap + 1)
    except _BROKEN as error:
        raise UnreadableFileError(f"{name} is damaged ({error}); get it again") from error
    if len(body) > cap:
        raise UnreadableFileError(f"{name} would unpack to more than {cap} bytes; no file of candles does")
    return body
