"""Inflation: compressed data to their bytes, within a bound: a megabyte may claim a gigabyte."""

from __future__ import annotations

import zlib

from monai_cxr.errors import UnreadableImage


def inflate(data: bytes, *, wbits: int, limit: int) -> bytes:
    """Inflate with a bound on the output.

    Args:
        data: A raw, zlib or gzip stream, as ``wbits`` says.
        wbits: As for :func:`zlib.decompressobj`.
        limit: Largest output in bytes.

    Raises:
        UnreadableImage: ``"too_large"`` if the output is larger, ``"damaged_header"`` if the
            stream is damaged.
    """
    inflater = zlib.decompressobj(wbits=wbits)
    try:
        result = inflater.decompress(data, limit)
    except zlib.error:
        raise UnreadableImage(
            "The deflated data are damaged. Send the file again.", reason="damaged_header"
        ) from None
    if inflater.unconsumed_tail:
        raise UnreadableImage(
            f"Expected at most {limit // 2**20} MiB of inflated data, but there are more. "
            "Send the image uncompressed.",
            reason="too_large",
        )
    return result
