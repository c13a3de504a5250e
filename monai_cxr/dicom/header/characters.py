"""Characters: bytes of a text element to text, by Specific Character Set (PS3.5 6.1), or nearly so.

PS3.5 6.2 keeps Code Strings to ASCII, and makers write them in the language of the house; others
leave the character set out, or name another. What is read here is matched against known words, so
every reading that makes sense is given.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

_ESCAPE = b"\x1b"
_GUESSES = (
    "gb18030", "big5", "euc_kr", "shift_jis", "cp1251", "koi8_r", "cp866", "latin_1", "cp850"
)  # fmt: skip


def is_plain(value: bytes) -> bool:
    """Whether bytes can be read in one way only, whatever the character set."""
    return value.isascii() and _ESCAPE not in value


def readings(value: bytes, character_sets: Sequence[str]) -> tuple[str, ...]:
    """What bytes may say.

    Args:
        value: Of one element.
        character_sets: Values of Specific Character Set (0008,0005), as they stand there.

    Returns:
        One reading where it is certain: ASCII, UTF-8 (whose sequences hardly arise by chance), or
        code extensions of ISO 2022; else that of the character set, then guesses.
    """
    if is_plain(value):
        return (value.decode("ascii"),)
    if _ESCAPE in value:
        return (decode_bytes(value, _encodings(character_sets), TEXT_VR_DELIMS),)
    try:
        return (value.decode("utf-8"),)
    except UnicodeDecodeError:
        pass
    stated = _encodings(character_sets)[0]
    found: list[str] = []
    for encoding in (stated, *_GUESSES):
        try:
            found.append(value.decode(encoding))
        except (UnicodeDecodeError, LookupError):
            continue
    return tuple(dict.fromkeys(found))


def _encodings(character_sets: Sequence[str]) -> list[str]:
    """Python's names; a value that is none of the standard's may be one of Python's already."""
    try:
        return list(convert_encodings([*character_sets] or [""])) or ["latin_1"]
    except LookupError:
        return [*character_sets]
