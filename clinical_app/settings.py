"""Settings: how the viewer listens, who may do what, and what the site knows about itself."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomllib

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDINGS
from monai_cxr.reading.reader_limits import ReaderLimits
from monai_cxr.screening.settings.checks import url_beside

AUTHENTICATION = ("none", "oidc", "proxy")
ROLES = ("viewer", "reader", "operator", "admin")
_SHORTEST_SECRET = 16
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_BASE_PATH = re.compile(r"(/[A-Za-z0-9_-]+)*")
_OIDC = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")


@dataclass(frozen=True, slots=True)
class ViewerSettings:
    """The ``[viewer]`` table of a settings file.

    Attributes:
        address: Where to listen. Anything but this machine needs an authentication.
        port: TCP port; 0 lets the system choose.
        allowed_hosts: Host names under which browsers may reach it, beside this machine's; none
            for a public address: any name.
        base_path: Path under which a proxy shows the viewer, such as ``"/xray"``; the proxy passes
            it on as it is.
        authentication: ``"none"``, ``"oidc"`` (Streamlit's login) or ``"proxy"`` (a header that a
            reverse proxy sets).
        oidc: For ``"oidc"``: redirect_uri, cookie_secret, client_id, client_secret,
            server_metadata_url, as in Streamlit's ``[auth]`` secrets.
        proxy_header: For ``"proxy"``: the header that names the user.
        proxy_secret: For ``"proxy"``: what the proxy must send as ``X-Viewer-Secret``.
        sign_out_url: For ``"proxy"``: the proxy's own address that ends its login, such as
            ``"/oauth2/sign_out"``; a lock sends the browser there.
        roles: By role (viewer, reader, operator, admin) the users who have it.
        role_claim: For ``"oidc"``: the claim that names the role, where users are not listed.
        local_role: Without authentication: of whoever sits at this machine.
        default_role: Of a user who is not listed; ``""`` refuses them.
        idle_minutes: After so long without use a session is locked.
        longest_wait_minutes: How much later a study of the next class of urgency is due.
        prevalence: Of the site, by finding, in (0, 1), for predictive values.
        show_patient_id: Whether the worklist shows PatientID.
        ledger: Address of a screening ledger, such as ``sqlite:////srv/ledger.sqlite``; its
            studies are shown, and it keeps reviews and audit.
        store: SQLite file of reviews and audit without a ledger; None: the user's state folder.
        read_first: By role the share of studies, in [0, 1], that a reader judges before the
            model's scores, order and maps reach the browser.
        adjudicator_role: Of a label audit: the role that decides where readers differ; ``""``:
            any third reader.
        reader_timeout_seconds: A film that takes longer to read is not shown.
        reader_memory_gib: Nor is one that takes more memory.
        upload_mib_per_person: What the uploads of one person may take together, in MiB.
        upload_mib: What all uploads may take together, in MiB.
        theme: ``"dark"``, ``"light"``, or ``"system"``: as each reader's own system is set.
    """

    address: str = "127.0.0.1"
    port: int = 8501
    allowed_hosts: tuple[str, ...] = ()
    base_path: str = ""
    authentication: str = "none"
    oidc: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy_header: str = "X-Forwarded-Email"
    proxy_secret: str = field(default="", repr=False)
    sign_out_url: str = ""
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    role_claim: str = ""
    local_role: str = "admin"
    default_role: str = ""
    idle_minutes: float = 30.0
    longest_wait_minutes: float = 60.0
    prevalence: Mapping[str, float] = field(default_factory=dict)
    show_patient_id: bool = False
    ledger: str | None = field(default=None, repr=False)
    store: str | None = None
    reader_timeout_seconds: float = 60.0
    reader_memory_gib: float = 4.0
    upload_mib_per_person: int = 256
    upload_mib: int = 1024
    theme: str = "dark"
    read_first: Mapping[str, float] = field(default_factory=dict)
    adjudicator_role: str = ""

    def __post_init__(self) -> None:
        """Refuse what would be unsafe or cannot work."""
        _one_of("authentication", self.authentication, AUTHENTICATION)
        _one_of("theme", self.theme, ("dark", "light", "system"))
        _one_of("local_role", self.local_role, ROLES)
        _one_of("default_role", self.default_role, ("", *ROLES))
        _one_of("adjudicator_role", self.adjudicator_role, ("", *ROLES))
        for role in self.roles:
            _one_of("roles", role, ROLES)
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"Expected a port from 0 to 65535, but got {self.port}.")
        if not _BASE_PATH.fullmatch(self.base_path):
            raise SettingsError(
                "Expected a base path of letters, digits, '-' and '_' such as '/xray', but got "
                f"{self.base_path!r}."
            )
        if self.sign_out_url and not self.sign_out_url.startswith(("/", "https://", "http://")):
            raise SettingsError(
                f"Expected 'sign_out_url' as https://... or /..., but got {self.sign_out_url!r}."
            )
        for name in ("idle_minutes", "longest_wait_minutes", "upload_mib_per_person", "upload_mib"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"Expected '{name}' above 0, but got {getattr(self, name)}.")
        ReaderLimits(self.reader_timeout_seconds, self.reader_memory_gib)
        for finding, share in self.prevalence.items():
            if not 0.0 < share < 1.0:
                raise SettingsError(
                    f"Expected a prevalence of '{finding}' between 0 and 1, but got {share}."
                )
        for role, share in self.read_first.items():
            _one_of("read_first", role, ROLES)
            if not 0.0 <= share <= 1.0:
                raise SettingsError(
                    f"Expected a share of studies from 0 to 1 for '{role}' in read_first, but "
                    f"got {share}."
                )
        self._check_access()

    def _check_access(self) -> None:
        if self.authentication == "none" and not is_this_machine(self.address):
            raise SettingsError(
                f"Address '{self.address}' can be reached by others, and authentication is 'none'. "
                "Listen on 127.0.0.1, or set authentication to 'oidc' or 'proxy' in [viewer]."
            )
        if self.authentication == "proxy" and len(self.proxy_secret) < _SHORTEST_SECRET:
            raise SettingsError(
                "Authentication 'proxy' needs a proxy_secret of at least 16 characters, which the "
                "proxy sends as X-Viewer-Secret; otherwise anybody could claim any name."
            )
        missing = [name for name in _OIDC if not self.oidc.get(name)]
        if self.authentication == "oidc" and missing:
            raise SettingsError(
                f"Authentication 'oidc' needs {', '.join(missing)} in [viewer.oidc]."
            )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host names of the viewer; empty where it answers to any."""
        if self.allowed_hosts:
            return (*self.allowed_hosts, *_LOCAL_HOSTS)
        if not is_this_machine(self.address):
            return ()
        host = f"[{self.address}]" if ":" in self.address else self.address
        return tuple(dict.fromkeys((*_LOCAL_HOSTS, host)))

    @property
    def locks(self) -> bool:
        """Whether whoever comes back to a locked session has to sign in again."""
        return self.authentication == "oidc" or bool(self.sign_out_url)

    @property
    def trusts_user(self) -> bool:
        """Whether whoever uses this machine counts as the reader."""
        return self.authentication == "none"


def is_this_machine(address: str) -> bool:
    """Whether only this machine can reach an address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def as_base_path(words: str) -> str:
    """A base path as links begin: with a slash before it and none after it."""
    name = words.strip("/")
    return f"/{name}" if name else ""


def read_settings(path: Path) -> tuple[ViewerSettings, dict[str, Any]]:
    """Read a settings file; relative paths in it are relative to its folder.

    Returns:
        The ``[viewer]`` table, and the whole file for whoever reads the other tables.

    Raises:
        SettingsError: If it cannot be read, or a key or value is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"Settings '{path.name}' cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"Settings '{path.name}' are not valid TOML: {error}.") from error
    table = content.get("viewer", {})
    if not isinstance(table, dict):
        raise SettingsError("Expected [viewer] as a table.")
    folder, viewer = path.absolute().parent, parse_settings(table)
    ledger = url_beside(viewer.ledger, folder) if viewer.ledger else None
    store = str(folder / Path(viewer.store).expanduser()) if viewer.store else None
    return replace(viewer, ledger=ledger, store=store), content


def parse_settings(table: Mapping[str, Any]) -> ViewerSettings:
    """Check a ``[viewer]`` table; an unknown key names its neighbours."""
    known = {item.name: item for item in fields(ViewerSettings)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3) or sorted(known)
            raise SettingsError(f"Unknown key '{key}' in [viewer]. Did you mean {', '.join(near)}?")
        values[key] = _typed(key, value)
    return replace(ViewerSettings(), **values)


def _typed(key: str, value: Any) -> Any:
    if key in ("idle_minutes", "longest_wait_minutes"):
        return float(_is(key, value, (int, float)))
    if key in ("port", "upload_mib_per_person", "upload_mib"):
        return _is(key, value, (int,))
    if key == "show_patient_id":
        return _is(key, value, (bool,))
    if key == "allowed_hosts":
        return tuple(_is(key, item, (str,)) for item in _is(key, value, (list,)))
    if key == "base_path":
        return as_base_path(_is(key, value, (str,)))
    if key == "oidc":
        return {k: _is(f"oidc.{k}", v, (str,)) for k, v in _is(key, value, (dict,)).items()}
    if key == "roles":
        table = _is(key, value, (dict,))
        return {
            role: tuple(_is(f"roles.{role}", user, (str,)).casefold() for user in users)
            for role, users in table.items()
            if _is(f"roles.{role}", users, (list,)) is users
        }
    if key == "read_first":
        return {
            role: float(_is(f"read_first.{role}", share, (int, float)))
            for role, share in _is(key, value, (dict,)).items()
        }
    if key == "prevalence":
        table = _is(key, value, (dict,))
        return {
            FINDINGS[name].name if name in FINDINGS else name: float(
                _is(f"prevalence.{name}", share, (int, float))
            )
            for name, share in table.items()
        }
    return _is(key, value, (str,))


def _is(key: str, value: Any, kinds: tuple[type, ...]) -> Any:
    wrong_bool = isinstance(value, bool) and bool not in kinds
    if wrong_bool or not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise SettingsError(f"Expected '{key}' in [viewer] as {names}, but got {value!r}.")
    return value


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(repr(name) for name in allowed)
        raise SettingsError(f"Expected '{key}' as one of {choices}, but got {value!r}.")
