"""Alarms are told once each: to a real web server and a real mail server, away at first."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from datetime import date
from http.server import HTTPServer

import pytest
from http_peer import Quiet, serving

from monai_cxr.errors import SettingsError
from monai_cxr.monitoring.charts import Alarm
from monai_cxr.screening.ledger import cursors, open_ledger
from monai_cxr.screening.ledger.watching import alarms
from monai_cxr.screening.settings.checks import settings_of
from monai_cxr.screening.settings.tables import AlarmsTable
from monai_cxr.screening.watching.alarm_sinks import tell

DAY = date(2026, 3, 1)


class Hook(Quiet):
    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.wait)
        self.server.got.append((self.headers.get("Authorization"), json.loads(body)))
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part)
                self.server.got.append(b"".join(lines).decode())
            if word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 ok\r\n")


@pytest.fixture
def hook():
    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.answers, server.wait = [], [], 0.0
    with serving(server):
        yield server


@pytest.fixture
def mail():
    server = socketserver.TCPServer(("127.0.0.1", 0), Mail)
    server.got = []
    with serving(server):
        yield server


def alarm(day, chart):
    return Alarm(day, day, ((chart, "up"),))


def test_each_alarm_is_told_once_and_a_sink_that_was_away_hears_it_later(tmp_path, hook, mail):
    table = AlarmsTable(
        webhook=f"http://127.0.0.1:{hook.server_address[1]}/alarms",
        token="secret",
        mail_to=("physics@example.org",),
        mail_from="cxr@example.org",
        smtp_host="127.0.0.1",
        smtp_port=mail.server_address[1],
        smtp_tls=False,
    )
    path = tmp_path / "l.sqlite"
    with open_ledger(path) as ledger:
        alarms.keep(ledger, [alarm(DAY, "picture mean")])
        hook.answers = [503, 302]
        assert tell(ledger, table) == 1  # the mail; the webhook was away
        assert tell(ledger, table) == 0  # a token does not follow a redirection
        assert tell(ledger, table) == 1
    with open_ledger(path) as ledger:  # a restart tells nothing twice
        assert tell(ledger, table) == 0
        alarms.keep(ledger, [alarm(DAY, "flag_rate Mass")])
        assert tell(ledger, table) == 2
    assert [one["alarm"] for _, one in hook.got] == [1, 1, 1, 2]
    assert {key for key, _ in hook.got} == {"Bearer secret"}
    assert hook.got[-1][1]["charts"] == [{"chart": "flag_rate Mass", "direction": "up"}]
    assert len(mail.got) == 2
    assert "Subject: monai_cxr: alarm 1 of the charts since 2026-03-01" in mail.got[0]
    assert "picture mean: up" in mail.got[0]


def test_several_services_tell_an_alarm_once(ledger_url, hook):
    """Each with a ledger of its own, at the same time; the web server takes its time."""
    table = AlarmsTable(webhook=f"http://127.0.0.1:{hook.server_address[1]}/")
    hook.wait = 0.1
    with open_ledger(ledger_url) as ledger:
        alarms.keep(ledger, [alarm(DAY, "picture mean"), alarm(DAY, "flag_rate Mass")])
    together = threading.Barrier(4)

    def service(told):
        with open_ledger(ledger_url) as ledger:
            together.wait()
            told.append(tell(ledger, table))

    told: list[int] = []
    threads = [threading.Thread(target=service, args=(told,)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(told) == len(hook.got)
    with open_ledger(ledger_url) as ledger:
        tell(ledger, table)
    assert sorted(one["alarm"] for _, one in hook.got) == [1, 2]


def test_a_service_that_died_while_it_told_is_followed_by_another(ledger, clock, hook):
    table = AlarmsTable(webhook=f"http://127.0.0.1:{hook.server_address[1]}/")
    alarms.keep(ledger, [alarm(DAY, "picture mean")])
    cursors.hold(ledger, "alarms being told by webhook", seconds=130)
    assert tell(ledger, table) == 0
    clock.advance(200)
    assert tell(ledger, table) == 1


def test_a_clock_that_was_ahead_holds_nothing(ledger, clock):
    clock.advance(10 * 86_400)
    assert cursors.hold(ledger, "name", seconds=60)
    clock.advance(-10 * 86_400)
    assert cursors.hold(ledger, "name", seconds=60)
    assert not cursors.hold(ledger, "name", seconds=60)


def test_a_sink_is_not_told_of_what_was_dealt_with_before_it_was_there(tmp_path, hook):
    table = AlarmsTable(webhook=f"http://127.0.0.1:{hook.server_address[1]}/")
    with open_ledger(tmp_path / "l.sqlite") as ledger:
        alarms.keep(ledger, [alarm(DAY, "picture mean")])
        alarms.acknowledge(ledger, 1, actor="Weber", action="seen")
        assert tell(ledger, AlarmsTable()) == 0
        assert tell(ledger, table) == 0
    assert hook.got == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ({"webhook": "ftp://x"}, "http"),
        ({"webhook": "https://a:b@x"}, "without a user name"),
        ({"mail_to": ["a@b"]}, "needs alarms.mail_from"),
        ({"token": "x"}, "secret"),
        ({"username": "x", "smtp_tls": False}, "not sent open"),
        ({"mail_to": ["a@b\nBcc: c@d"], "mail_from": "x", "smtp_host": "y"}, "one line"),
    ],
)
def test_wrong_settings_are_named(tmp_path, lines, said):
    content = {"ledger": {"url_file": "url"}, "spool": {"folder": "spool"}, "alarms": lines}
    (tmp_path / "url").write_text("sqlite:///l.sqlite")
    with pytest.raises(SettingsError, match=said):
        settings_of(content, folder=tmp_path)
