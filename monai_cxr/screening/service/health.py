"""Health: /healthz, /readyz and Prometheus' /metrics over HTTP; numbers only, no identity."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError

from monai_cxr.errors import SettingsError
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.watching import alarms, counts


class StoreResponses:
    """Statuses that the C-STORE listener answered, for ``monai_cxr_store_responses_total``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, status: int) -> None:
        """Count one answer."""
        with self._lock:
            self._counts[f"0x{status:04X}"] += 1

    def collect(self) -> Iterable[Metric]:
        """The metric."""
        with self._lock:
            counts_now = dict(self._counts)
        yield _counter("store_responses", "C-STORE answers by status.", "status", counts_now)


class LedgerCollector:
    """The ledger's counts as Prometheus metrics, read when they are asked for.

    Args:
        ledger: The ledger.
        spool: Its disk is measured.
    """

    def __init__(self, ledger: Ledger, spool: Spool) -> None:
        self._ledger, self._spool = ledger, spool

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        numbers = counts.count(self._ledger)
        yield _gauge("films", "Films by state of their job.", "state", numbers.films)
        yield _counter("arrivals", "Received objects by outcome.", "outcome", numbers.arrivals)
        yield _counter("drops", "Objects that were accepted and dropped.", "reason", numbers.drops)
        yield _gauge(
            "quarantine", "Unresolved entries of the quarantine.", "reason", numbers.quarantine
        )
        deliveries = GaugeMetricFamily(
            "monai_cxr_deliveries",
            "Deliveries by kind, destination and state.",
            labels=("kind", "destination", "state"),
        )
        for key, n in numbers.deliveries.items():
            deliveries.add_metric(key, n)
        yield deliveries
        yield _counter("results", "Stored results.", "", {"": numbers.n_results})
        yield _counter("retries", "Leases beyond the first.", "", {"": numbers.n_retries})
        yield _counter("reviews", "Stored reviews.", "", {"": numbers.n_reviews})
        ages = {f"{quantile:g}": age for quantile, age in numbers.queue_age_seconds.items()}
        yield _gauge("queue_age_seconds", "Age of unfinished films.", "quantile", ages)
        oldest = {"": numbers.outbox_age_seconds}
        yield _gauge("outbox_age_seconds", "Age of the oldest pending delivery.", "", oldest)
        ahead = {"": numbers.clock_ahead_seconds}
        yield _gauge("clock_ahead_seconds", "Newest arrival beyond now.", "", ahead)
        with self._ledger.read() as connection:
            n_open = {"": float(alarms.n_open(connection))}
        yield _gauge("alarms_open", "Alarms of charts that wait for a person.", "", n_open)
        free = {"": float(self._spool.free_bytes())}
        yield _gauge("spool_free_bytes", "Free space of the spool's disk.", "", free)


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"monai_cxr_{name}", text, labels=(label,) if label else ())
    for key, value in values.items():
        family.add_metric((key,) if label else (), value)
    return family


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"monai_cxr_{name}", text, labels=(label,) if label else ())
    for key, value in values.items():
        family.add_metric((key,) if label else (), value)
    return family


def unready_reasons(ledger: Ledger, spool: Spool, unfit_parts: Iterable[str] = ()) -> list[str]:
    """Why no film should be sent to this host now; empty when it is ready."""
    reasons = list(unfit_parts)
    try:
        with ledger.read() as connection:
            connection.exec_driver_sql("SELECT 1")
    except SQLAlchemyError:
        reasons.append("the ledger does not answer")
    if spool.is_low():
        reasons.append("the disk is below its low-water mark")
    return reasons


class HealthServer:
    """The HTTP server; a context manager.

    Args:
        host: Address to listen on.
        port: Port; 0 for any free one.
        ledger: The ledger.
        spool: The spool.
        unfit_parts: Says which parts have stopped or wait.
        responses: What the listener of this process answers.
    """

    def __init__(
        self,
        host: str,
        port: int,
        ledger: Ledger,
        spool: Spool,
        unfit_parts: Callable[[], list[str]] = list,
        responses: StoreResponses | None = None,
    ) -> None:
        registry = CollectorRegistry()
        registry.register(LedgerCollector(ledger, spool))
        if responses is not None:
            registry.register(responses)

        class Handler(BaseHTTPRequestHandler):
            """Answers GET on three paths."""

            def do_GET(self) -> None:
                """Answer."""
                if self.path == "/metrics":
                    try:
                        self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                    except SQLAlchemyError:
                        self._answer(503, b"the ledger does not answer\n")
                elif self.path == "/healthz":
                    dead = [part for part in unfit_parts() if part.endswith("stopped")]
                    text = "".join(f"{part}\n" for part in dead) or "ok\n"
                    self._answer(503 if dead else 200, text.encode())
                elif self.path == "/readyz":
                    reasons = unready_reasons(ledger, spool, unfit_parts())
                    text = "".join(f"{reason}\n" for reason in reasons) or "ready\n"
                    self._answer(503 if reasons else 200, text.encode())
                else:
                    self._answer(404, b"/healthz /readyz /metrics\n")

            def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: a request is not an event of the service."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on health.host {host}, port {port}: {error.strerror}."
            ) from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> HealthServer:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
