"""Watch folder: files that others write, taken when they have stopped changing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monai_cxr.errors import UnreadableImage
from monai_cxr.reading.files import read_bytes
from monai_cxr.reading.listing import film_paths
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.spool import Spool, SpoolFull
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.logs import uid_hash

SOURCE = "watch-folder"
_TEMPORARY = (".part", ".tmp", ".partial", ".filepart", ".crdownload", ".writing")

_log = logging.getLogger(__name__)

_State = tuple[int, int, int]


@dataclass(slots=True)
class WatchFolder:
    """A folder and what has been seen in it.

    Attributes:
        folder: Searched with its subfolders.
        settle_seconds: A file is taken when size, time and inode stayed the same for so long.
        delete: Whether a file is deleted when it is durable in the spool; one that is refused or
            cut short stays.
        priority: Priority class.
        clock: Monotonic seconds.
    """

    folder: Path
    settle_seconds: float = 5.0
    delete: bool = False
    priority: str = "ROUTINE"
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[_State, float]] = field(default_factory=dict, init=False, repr=False)
    _taken: dict[str, _State] = field(default_factory=dict, init=False, repr=False)
    _unreadable: set[str] = field(default_factory=set, init=False, repr=False)
    _is_absent: bool = field(default=False, init=False, repr=False)

    def unfit(self) -> list[str]:
        """Why no film can come through this folder now; empty when it is well."""
        return ["the watch folder is absent"] if self._is_absent else []

    def scan(self, ledger: Ledger, spool: Spool) -> int:
        """Look once; gives how many files were taken.

        Raises:
            SpoolFull: If the disk is below its low-water mark; the files stay where they are.
        """
        now, n_taken = self.clock(), 0
        was_absent, self._is_absent = self._is_absent, not self.folder.is_dir()
        if self._is_absent:  # a share that is not mounted holds no file, and none was deleted
            if not was_absent:
                _log.error("the watch folder is absent; it is looked for again and again")
            return 0
        present: set[str] = set()
        for path in self._files():
            name = str(path)
            state = _state(path)
            if state is None:
                continue
            present.add(name)
            if self._taken.get(name) == state:
                continue
            before = self._seen.get(name)
            if before is None or before[0] != state:
                self._seen[name] = (state, now)
            elif now - before[1] >= self.settle_seconds and self._take(path, state, ledger, spool):
                n_taken += 1
        for known in (self._seen, self._taken):
            for name in [name for name in known if name not in present]:
                del known[name]
        return n_taken

    def run(self, ledger: Ledger, spool: Spool, stop: threading.Event) -> None:
        """Look again and again until told to stop."""
        pause = min(1.0, max(0.05, self.settle_seconds / 2))
        while not stop.is_set():
            try:
                self.scan(ledger, spool)
            except SpoolFull:
                _log.error("the disk is below its low-water mark; files wait in the watch folder")
                stop.wait(5.0)
            stop.wait(pause)

    def _files(self) -> Iterator[Path]:
        root = self.folder.resolve()
        for path in film_paths(self.folder):
            is_ready = path.is_file() and not path.name.lower().endswith(_TEMPORARY)
            # Who may write here must not choose what else is read: no link leads out.
            if is_ready and path.resolve().is_relative_to(root):
                yield path

    def _take(self, path: Path, state: _State, ledger: Ledger, spool: Spool) -> bool:
        try:
            data, _ = read_bytes(path)
        except UnreadableImage as error:
            if str(path) not in self._unreadable:
                _log.warning("file not taken", extra={"reason": error.reason})
                self._unreadable.add(str(path))
            # Shares set permissions after the upload, which changes neither time nor size.
            self._seen[str(path)] = (state, self.clock())
            return False
        self._unreadable.discard(str(path))
        if _state(path) != state:  # written to while it was read: it is not ready
            self._seen.pop(str(path), None)
            return False
        file = intake.opened(data)
        receipt = intake.receive(ledger, spool, file, source=SOURCE, priority=self.priority)
        _log.info(
            "file taken",
            extra={
                "outcome": receipt.outcome,
                "reason": receipt.reason,
                "uid_hash": uid_hash(receipt.sop_uid),
            },
        )
        self._taken[str(path)] = state
        if self.delete and receipt.is_accepted and not file.is_cut:
            path.unlink(missing_ok=True)
        return True


def _state(path: Path) -> _State | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
