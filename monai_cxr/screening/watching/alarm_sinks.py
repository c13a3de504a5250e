"""Alarm sinks: an alarm of the charts told to a webhook and by e-mail, each once.

The ledger remembers up to which alarm a sink was told, so a restart tells nothing twice and a sink
that is away is told later; of several services that keep house, one tells at a time. A message
names charts, days and a number; it knows no film.
"""

from __future__ import annotations

import json
import logging
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from functools import partial

from monai_cxr.screening.ledger import Ledger, cursors
from monai_cxr.screening.ledger.watching import alarms
from monai_cxr.screening.ledger.watching.alarms import KeptAlarm
from monai_cxr.screening.settings.tables import AlarmsTable

_SUBJECT = "monai_cxr: alarm {number} of the charts since {day}"
_HELD_SECONDS = 120.0
"""A service that dies while it tells is followed by another one after this time."""

_LOG = logging.getLogger(__name__)


def tell(ledger: Ledger, table: AlarmsTable) -> int:
    """Tell every sink the alarms that it has not been told; gives how many were told."""
    sinks: dict[str, Callable[[KeptAlarm], None]] = {}
    if table.webhook:
        sinks["webhook"] = partial(_post, table)
    if table.mail_to:
        sinks["mail"] = partial(_mail, table)
    if not sinks:
        return 0
    seconds = _HELD_SECONDS + 2 * table.timeout_seconds
    n = 0
    for name, send in sinks.items():
        telling = f"alarms being told by {name}"
        while cursors.hold(ledger, telling, seconds=seconds):  # of several services one tells
            try:
                told = _tell_next(ledger, name, send)
            finally:
                cursors.let_go(ledger, telling)
            if not told:
                break
            n += 1
    return n


def _tell_next(ledger: Ledger, name: str, send: Callable[[KeptAlarm], None]) -> bool:
    """Tell one sink its next alarm; False where there is none, or it is away."""
    history, cursor = alarms.kept(ledger), f"alarms told by {name}"
    known = cursors.get(ledger, cursor)
    if known is None:  # what was dealt with before the sink was there is no news
        known = str(max((one.id for one in history if not one.is_open), default=0))
    one = next((one for one in history if one.id > int(known)), None)
    if one is None:
        return False
    try:
        send(one)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        extra = {"part": name, "error": type(error).__name__}
        _LOG.warning("an alarm could not be told", extra=extra)
        return False
    cursors.put(ledger, cursor, str(one.id))
    return True


def content(one: KeptAlarm) -> dict[str, object]:
    """What a webhook is sent, as JSON."""
    return {
        "alarm": one.id,
        "first_day": one.alarm.first.isoformat(),
        "last_day": one.alarm.last.isoformat(),
        "charts": [{"chart": name, "direction": way} for name, way in one.alarm.charts],
        "is_open": one.is_open,
    }


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token stays with the address that it is for."""

    def redirect_request(self, *_: object) -> None:
        return None


def _post(table: AlarmsTable, one: KeptAlarm) -> None:
    headers = {"Content-Type": "application/json"}
    if table.token:
        headers["Authorization"] = f"Bearer {table.token}"
    body = json.dumps(content(one)).encode()
    request = urllib.request.Request(table.webhook, body, headers, method="POST")
    # No proxy of the environment between a hospital's own machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    with opener.open(request, timeout=table.timeout_seconds) as answer:
        answer.read(1)


def _mail(table: AlarmsTable, one: KeptAlarm) -> None:
    message = EmailMessage()
    day = one.alarm.first.isoformat()
    message["Subject"] = _SUBJECT.format(number=one.id, day=day)
    message["From"], message["To"] = table.mail_from, ", ".join(table.mail_to)
    lines = [f"{name}: {way}" for name, way in one.alarm.charts]
    message.set_content(
        f"Alarm {one.id} of the charts, first on {day}:\n\n"
        + "\n".join(lines)
        + f"\n\nWhen it is dealt with: monai-cxr monitor acknowledge FILE {one.id} --by NAME "
        "--action WORDS\n"
    )
    with smtplib.SMTP(table.smtp_host, table.smtp_port, timeout=table.timeout_seconds) as server:
        if table.smtp_tls:
            server.starttls(context=ssl.create_default_context())
        if table.username:
            server.login(table.username, table.password)
        server.send_message(message)
