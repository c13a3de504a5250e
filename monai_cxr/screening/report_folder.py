"""Report folder: structured reports from the outbox into a folder, each whole or not at all."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from monai_cxr.dicom.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import CXRError, InputError, NotCalibrated
from monai_cxr.files import read_bytes
from monai_cxr.prediction import OperatingPoint
from monai_cxr.screening.ledger import Ledger, outbox
from monai_cxr.screening.ledger.outbox import DeliveryContent
from monai_cxr.tables import write_atomically

KIND, DESTINATION = "sr", "archive"

_log = logging.getLogger(__name__)


def report_name(sop_uid: str) -> str:
    """File name of the report of a film."""
    return re.sub(r"[^0-9A-Za-z.]", "_", sop_uid)[:128] + ".dcm"


def report_bytes(
    source: bytes,
    content: DeliveryContent,
    operating_points: Mapping[str, OperatingPoint],
    calibration: str = "",
) -> tuple[str, bytes]:
    """SOP Instance UID and Part 10 bytes of a film's report, the same each time it is made."""
    result = content.result
    instance = structured_report(
        ReportedFilm(source, result.prediction),
        operating_points=operating_points,
        calibration=calibration,
        created=datetime.fromtimestamp(result.predicted_at, timezone.utc),
    )
    return instance.sop_uid, instance.data


def deliver_reports(
    ledger: Ledger,
    owner: str,
    folder: Path,
    operating_points: Mapping[str, OperatingPoint],
    *,
    calibration: str = "",
    n: int = 8,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Write the pending reports; one that cannot be made is marked failed with its reason.

    Args:
        ledger: The ledger.
        owner: Unique name of this process.
        folder: Where ``<SOP Instance UID of the film>.dcm`` is written.
        operating_points: Stated beside each finding.
        calibration: Method, for the report.
        n: Reports at most.
        should_stop: Asked before each report.

    Returns:
        How many were written.
    """
    n_written = 0
    pending = outbox.lease(ledger, owner, n, seconds=300, kinds=[KIND], destinations=[DESTINATION])
    for delivery in pending:
        if should_stop():
            break  # the lease ends by itself, or with release_owners at the next start
        content = outbox.content(ledger, delivery)
        try:
            data, _ = read_bytes(Path(content.film.path))
            uid, report = report_bytes(data, content, operating_points, calibration)
            target = folder / report_name(delivery.sop_uid)
            write_atomically(target, lambda part, report=report: part.write_bytes(report))  # type: ignore[misc]
        except (InputError, NotCalibrated) as error:
            reason = error.reason if isinstance(error, InputError) else "not_calibrated"
            outbox.failed(ledger, owner, delivery.id, error=reason, permanent=True)
            _log.warning("report not made", extra={"delivery": delivery.id, "error": reason})
        except CXRError as error:
            outbox.failed(ledger, owner, delivery.id, error=type(error).__name__)
            _log.warning("report not written", extra={"delivery": delivery.id})
        else:
            outbox.delivered(ledger, owner, delivery.id, status="written", object_uid=uid)
            n_written += 1
    return n_written
