"""Settings tables: what each table of the service's TOML may hold, and what it means."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from monai_cxr.screening.network.dicom_network import TlsFiles
from monai_cxr.screening.settings.listener import ListenerSettings
from monai_cxr.settings_reader import SECRET


@dataclass(frozen=True, slots=True)
class LedgerTable:
    """``[ledger]``.

    Attributes:
        url: ``sqlite:///FILE`` or ``postgresql://...``; or ``url_env``, ``url_file``.
        keep_days: Studies are forgotten so many days after their last film came, once nothing is
            left to do for them; 0 keeps them. The audit trail and reviews stay.
    """

    url: str = field(metadata=SECRET, repr=False)
    keep_days: float = 0.0


@dataclass(frozen=True, slots=True)
class SpoolTable:
    """``[spool]``.

    Attributes:
        folder: Where received files are kept.
        reserve_gib: Space to keep free on its disk; with less, nothing is accepted.
        keep_days: Spooled files of completed films are deleted after so many days; 0 keeps them.
        keep_refused_days: The same for refused films about which nobody has decided; 0 for
            ``keep_days``. The file of a dismissed film is deleted at once.
    """

    folder: Path
    reserve_gib: float = 5.0
    keep_days: float = 0.0
    keep_refused_days: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelTable:
    """``[model]``.

    Attributes:
        bundle: Folder of a packaged bundle.
        device: ``"auto"``, ``"cpu"``, ``"cuda:0"`` and so on.
        batch_size: Films at a time.
        readers: Processes that read ahead.
        reader_timeout_seconds: A film that takes longer to read is quarantined.
        reader_memory_gib: Memory that each reader may use; a film that takes more is quarantined.
        lease_seconds: How long a worker may be silent before others take its films.
        max_attempts: A film that has failed so often is quarantined.
    """

    bundle: Path
    device: str = "auto"
    batch_size: int = 8
    readers: int = 2
    reader_timeout_seconds: float = 60.0
    reader_memory_gib: float = 4.0
    lease_seconds: float = 300.0
    max_attempts: int = 5


@dataclass(frozen=True, slots=True)
class WatchTable:
    """``[watch]``.

    Attributes:
        folder: Folder to watch, with its subfolders.
        settle_seconds: A file is taken once it has not changed for so long.
        delete: Whether to delete a file once it is durable in the spool.
        priority: Priority class of films that arrive here.
    """

    folder: Path
    settle_seconds: float = 5.0
    delete: bool = False
    priority: str = "ROUTINE"


@dataclass(frozen=True, slots=True)
class DestinationTable:
    """``[[destinations]]``: where results go.

    Attributes:
        name: Unique name.
        kind: ``"folder"``, ``"pacs"`` (C-STORE), ``"dicomweb"`` (STOW-RS), ``"mllp"`` (HL7
            messages to an interface engine) or ``"fhir"`` (transactions to a FHIR R4 server).
        objects: What is sent: ``"sr"`` (structured report of a film), ``"study_sr"`` (of all films
            of a study, when it closes, in place of the one before), ``"sc"`` and ``"seg"`` (heat
            map of the most probable positive finding, as a picture and as a segmentation),
            ``"pdf"`` (report of a film as a page, encapsulated in DICOM); to a folder also
            ``"fhir"`` (R4 bundle) and ``"hl7"`` (ORU message), which are all that a FHIR server
            and an interface engine take.
        sr_class: SOP Class that structured reports are sent in: ``"comprehensive_3d"``,
            ``"comprehensive"`` or ``"enhanced"``. A folder takes it as it is; a receiver that does
            not take it is offered the others.
        path: Path of a folder.
        file_mode: Mode of the files in a folder: ``"0600"`` for our user alone, ``"0640"`` to let
            our group read them and ``"0660"`` to let it move them too. Nobody else may read them.
        ae_title: Called AE title of a PACS.
        calling_ae: Our AE title.
        host: Host of a PACS or an interface engine.
        port: Port of a PACS or an interface engine.
        tls: Mutual TLS with the other side.
        authorities: PEM file of the certificate authorities that may have signed the certificate of
            a DICOMweb service or a FHIR server; default: those of the system.
        timeout_seconds: Limit for connecting, for an answer, and for silence on the line.
        url: Root of a DICOMweb service or a FHIR server.
        username: User name for HTTP Basic.
        password: Given by ``password_env`` or ``password_file``.
        token: Given by ``token_env`` or ``token_file``.
    """

    name: str
    kind: str
    objects: tuple[str, ...] = ("sr",)
    sr_class: str = "comprehensive_3d"
    path: Path | None = None
    file_mode: str = "0600"
    ae_title: str = ""
    calling_ae: str = "MONAI_CXR"
    host: str = ""
    port: int = 104
    tls: TlsFiles | None = None
    authorities: Path | None = None
    timeout_seconds: float = 30.0
    url: str = ""
    username: str = ""
    password: str = field(default="", metadata=SECRET, repr=False)
    token: str = field(default="", metadata=SECRET, repr=False)


@dataclass(frozen=True, slots=True)
class PullTable:
    """``[[pulls]]``: films that we fetch from a PACS by study date.

    Attributes:
        name: Unique name.
        kind: ``"dicomweb"`` (QIDO-RS, WADO-RS) or ``"pacs"`` (C-FIND, and C-MOVE to the listener).
        every_seconds: Time after which the PACS is asked again; 0 asks only in ``screen pull``.
        days: Number of days that ``screen run`` asks for, up to and including today, and beside
            them tomorrow, which it is already where a clock or a time zone is ahead.
        priority: Priority class of films from a DICOMweb service.
        url: Root of a DICOMweb service.
        username: User name for HTTP Basic.
        password: Given by ``password_env`` or ``password_file``.
        token: Given by ``token_env`` or ``token_file``.
        ae_title: Called AE title of a PACS.
        calling_ae: Our AE title.
        move_destination: AE title of our listener, as the PACS knows it.
        host: Host of a PACS.
        port: Port of a PACS.
        tls: Mutual TLS with a PACS or a DICOMweb service.
        authorities: PEM file of the certificate authorities that may have signed the certificate of
            a DICOMweb service; default: those of the system.
        timeout_seconds: Limit for connecting, for an answer, and for silence on the line.
        retrieve_seconds: How long a PACS may be silent while it sends a series: pending answers to
            C-MOVE are optional, and a recall from a near-line store takes minutes.
        modalities: Modalities (0008,0060) of the wanted series.
    """

    name: str
    kind: str
    every_seconds: float = 0.0
    days: int = 2
    priority: str = "ROUTINE"
    url: str = ""
    username: str = ""
    password: str = field(default="", metadata=SECRET, repr=False)
    token: str = field(default="", metadata=SECRET, repr=False)
    ae_title: str = ""
    calling_ae: str = "MONAI_CXR"
    move_destination: str = "MONAI_CXR"
    host: str = ""
    port: int = 104
    tls: TlsFiles | None = None
    authorities: Path | None = None
    timeout_seconds: float = 30.0
    retrieve_seconds: float = 1_800.0
    modalities: tuple[str, ...] = ("CR", "DX")


@dataclass(frozen=True, slots=True)
class Hl7Table:
    """``[hl7]``: signed reports (ORU) and merged patients (ADT^A40) over MLLP; off without it.

    Attributes:
        senders: Host names or addresses that may connect: MLLP knows no other names.
        host: Address to listen on.
        port: Port; 0 for any free one.
        tls: TLS files; senders must then show a certificate.
        language: Of the reports: ``"en"``, ``"es"`` or ``"de"``.
        lexicon: A lexicon of your own (TOML), instead of ``language``.
        authority: Who assigned the patient IDs of our films, as merges name it (CX.4); default:
            any, where patient IDs are unique.
        most_mib: Longest message.
        most_connections: At a time; more are closed.
        timeout_seconds: Of silence within a message.
    """

    senders: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 2575
    tls: TlsFiles | None = None
    language: str = "en"
    lexicon: Path | None = None
    authority: str = ""
    most_mib: float = 16.0
    most_connections: int = 16
    timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class ReportsTable:
    """``[reports]``: what is kept of signed reports beside labels and the words that decided them.

    Attributes:
        text_key: Key of the reports' text, by ``text_key_env`` or ``text_key_file``: the text is
            then kept, encrypted (Fernet). Without it no text is kept. Several keys, one a line,
            open what each of them closed; the first closes.
        keep_text_days: Kept text is deleted so many days after it came; 0 keeps it.
    """

    text_key: str = field(default="", metadata=SECRET, repr=False)
    keep_text_days: float = 90.0


@dataclass(frozen=True, slots=True)
class HealthTable:
    """``[health]``: /healthz, /readyz and /metrics.

    Attributes:
        host: Address to listen on.
        port: Port; 0 for any free one.
    """

    host: str = "127.0.0.1"
    port: int = 9180


@dataclass(frozen=True, slots=True)
class RollUpTable:
    """``[rollup]``: when a study counts as complete.

    Attributes:
        quiet_seconds: A study is closed after so long without a new film.
        force_seconds: A study is closed after so long at the latest.
    """

    quiet_seconds: float = 60.0
    force_seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class AlarmsTable:
    """``[alarms]``: who is told of the charts' alarms, beside Prometheus.

    Attributes:
        webhook: Address that each alarm is posted to, as JSON.
        token: Bearer token of the webhook, by ``token_env`` or ``token_file``.
        mail_to: Addresses that are written to.
        mail_from: Sender.
        smtp_host: Mail server.
        smtp_port: Its port.
        smtp_tls: Whether the connection must be encrypted (STARTTLS).
        username: At the mail server.
        password: By ``password_env`` or ``password_file``.
        timeout_seconds: For connecting and for an answer.
    """

    webhook: str = ""
    token: str = field(default="", metadata=SECRET, repr=False)
    mail_to: tuple[str, ...] = ()
    mail_from: str = ""
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_tls: bool = True
    username: str = ""
    password: str = field(default="", metadata=SECRET, repr=False)
    timeout_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class ScreeningSettings:
    """The whole file.

    Attributes:
        ledger: Required.
        spool: Required.
        model: Required where films are read.
        watch: A folder to watch.
        listener: C-STORE.
        destinations: Where results go.
        pulls: Where films are fetched from.
        hl7: Signed reports and merged patients.
        reports: What is kept of signed reports.
        health: HTTP.
        rollup: Studies.
        alarms: Who is told of the charts' alarms.
        log_level: ``"DEBUG"``, ``"INFO"``, ``"WARNING"`` or ``"ERROR"``.
    """

    ledger: LedgerTable
    spool: SpoolTable
    model: ModelTable | None = None
    watch: WatchTable | None = None
    listener: ListenerSettings | None = None
    destinations: tuple[DestinationTable, ...] = ()
    pulls: tuple[PullTable, ...] = ()
    hl7: Hl7Table | None = None
    reports: ReportsTable = ReportsTable()
    health: HealthTable = HealthTable()
    rollup: RollUpTable = RollUpTable()
    alarms: AlarmsTable = AlarmsTable()
    log_level: str = "INFO"
