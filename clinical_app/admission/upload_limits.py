"""Upload limits: how much memory the files take that browsers send, of a person and in all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from streamlit.runtime import get_instance

MIB = 2**20


class UploadLimits:
    """What may still be sent.

    Args:
        person_mib: Limit for one person, in MiB.
        all_mib: Limit for everybody together, in MiB.
        held: Bytes that are held, by tab; without those of tabs that were closed.
    """

    def __init__(
        self, person_mib: int, all_mib: int, held: Callable[[], Mapping[str, int]]
    ) -> None:
        self._most_of_one = person_mib * MIB
        self._most_in_all = all_mib * MIB
        self._held = held
        self._lock = threading.Lock()
        self._coming: dict[object, tuple[str, int]] = {}  # request -> person, bytes
        self._persons: dict[str, str] = {}  # tab -> person

    @contextmanager
    def room(self, person: str, tab: str, n_bytes: int) -> Iterator[bool]:
        """Keep room while a file comes in.

        Args:
            person: Who sends it.
            tab: For which tab.
            n_bytes: How large it is.

        Yields:
            Whether there is room.
        """
        request = object()
        with self._lock:
            held = dict(self._held())
            self._persons = {t: p for t, p in self._persons.items() if t in held} | {tab: person}
            mine = sum(size for t, size in held.items() if self._persons.get(t) == person)
            mine += sum(size for one, size in self._coming.values() if one == person)
            every = sum(held.values()) + sum(size for _, size in self._coming.values())
            fits = mine + n_bytes <= self._most_of_one and every + n_bytes <= self._most_in_all
            if fits:
                self._coming[request] = (person, n_bytes)
        try:
            yield fits
        finally:
            with self._lock:
                self._coming.pop(request, None)


def held_by_streamlit() -> dict[str, int]:
    """Bytes that Streamlit holds of uploads, by tab; those of closed tabs are dropped first."""
    runtime = get_instance()
    manager = runtime.uploaded_file_mgr
    storage = getattr(manager, "file_storage", {})
    for tab in list(storage):
        if not runtime.is_active_session(tab):
            manager.remove_session_files(tab)
    return {
        tab: sum(len(file.data) for file in list(files.values()))
        for tab, files in list(storage.items())
    }
