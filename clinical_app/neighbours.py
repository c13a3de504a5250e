"""Neighbours: other people's accounts on this computer, which a viewer without a sign-in refuses.

Whoever can reach a port of this machine is taken for the reader where nobody signs in, and that
includes everybody else who is logged in here. Linux says whose a connection's other end is.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

_TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
_FIRST_PERSON = 1000
"""Below are accounts of the system, such as that of a web server in front."""

_NOBODY = 65534
_ADDRESS, _UID, _INODE = 1, 7, 9
"""Columns of such a table."""


def is_neighbour(client: tuple[str, int] | None) -> bool:
    """Whether another person of this computer is at the other end of a connection.

    Args:
        client: Address and port of that end, of this machine.

    Returns:
        True for the account of another person; False for our own, for those of the system, and
        where the system does not say.
    """
    uid = _owner(*client) if client else None
    return uid is not None and uid not in (os.getuid(), _NOBODY) and uid >= _FIRST_PERSON


def _owner(host: str, port: int) -> int | None:
    """User number of the socket with this address; None where no open one is known."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        address = f"{_as_written(socket.inet_pton(family, host))}:{port:04X}"
        lines = _TABLES[family].read_text(encoding="ascii").splitlines()[1:]
    except (OSError, ValueError):
        return None  # not Linux
    for line in lines:
        columns = line.split()
        if columns[_ADDRESS] == address and columns[_INODE] != "0":  # 0: closed on that side
            return int(columns[_UID])
    return None


def _as_written(address: bytes) -> str:
    """An address as the kernel writes it: words of four bytes in the machine's own order."""
    words = struct.unpack(f">{len(address) // 4}I", address)
    return "".join(f"{struct.unpack('=I', struct.pack('>I', word))[0]:08X}" for word in words)
