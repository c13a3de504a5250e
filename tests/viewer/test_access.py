"""Access: nobody listens to the world unauthenticated, and a role does what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clinical_app.admission.access import PERMISSIONS, identify, local_identity, proxy_user
from clinical_app.admission.grants import Grants
from clinical_app.server import free_port, options
from clinical_app.settings import ViewerSettings, is_this_machine, parse_settings, read_settings
from monai_cxr.errors import SettingsError
from monai_cxr.screening.settings.checks import bundle_of, ledger_of

SECRET = "0123456789abcdef"
OIDC = {
    "redirect_uri": "https://x/oauth2callback",
    "cookie_secret": "c",
    "client_id": "i",
    "client_secret": "s",
    "server_metadata_url": "https://idp/.well-known/openid-configuration",
}


class TestSettings:
    @pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.4", "viewer.example.org", ""])
    def test_a_public_address_needs_authentication(self, address):
        with pytest.raises(SettingsError, match="authentication"):
            ViewerSettings(address=address)
        ViewerSettings(address=address, authentication="proxy", proxy_secret=SECRET)
        ViewerSettings(address=address, authentication="oidc", oidc=OIDC)

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
    def test_this_machine_needs_none(self, address):
        assert is_this_machine(address)
        assert ViewerSettings(address=address).trusts_user

    @pytest.mark.parametrize("secret", ["", "short"])
    def test_a_proxy_without_a_secret_is_refused(self, secret):
        with pytest.raises(SettingsError, match="proxy_secret"):
            ViewerSettings(authentication="proxy", proxy_secret=secret)

    def test_oidc_names_what_is_missing(self):
        with pytest.raises(SettingsError, match="client_secret"):
            ViewerSettings(authentication="oidc", oidc={**OIDC, "client_secret": ""})

    def test_an_unknown_key_names_its_neighbours(self):
        with pytest.raises(SettingsError, match="idle_minutes"):
            parse_settings({"idle_minute": 5})

    @pytest.mark.parametrize(
        "table",
        [
            {"port": "8501"}, {"port": True}, {"port": 70000}, {"idle_minutes": 0},
            {"idle_minutes": float("nan")}, {"theme": "pink"}, {"roles": {"king": ["x"]}},
            {"roles": {"reader": "x"}}, {"prevalence": {"Effusion": 1.5}}, {"roles": ["x"]},
            {"authentication": "basic"}, {"allowed_hosts": "x"}, {"oidc": {"client_id": 3}},
        ],
    )  # fmt: skip
    def test_a_wrong_value_is_refused(self, table):
        with pytest.raises(SettingsError):
            parse_settings(table)

    def test_a_file_is_read_whole(self, tmp_path):
        path = tmp_path / "s.toml"
        path.write_text(
            "[viewer]\nport = 9000\nidle_minutes = 5\n[viewer.roles]\nreader = ['Anna@X.org']\n"
            "[viewer.prevalence]\n'pleural effusion' = 0.05\n[ledger]\nurl = 'x'\n"
        )
        settings, content = read_settings(path)
        assert settings.roles == {"reader": ("anna@x.org",)}
        assert settings.prevalence == {"Effusion": 0.05}
        assert content["ledger"] == {"url": "x"}

    def test_the_ledger_and_bundle_of_a_screening_service_are_found(self, tmp_path):
        (tmp_path / "url").write_text("sqlite:////b\n")
        environment = {"LEDGER": "postgresql://user@host/a"}

        def found(**table: object) -> str | None:
            return ledger_of({"ledger": table}, folder=tmp_path, environment=environment)

        assert found(url="sqlite:///c") == f"sqlite:///{tmp_path}/c"
        assert found(url_env="LEDGER") == "postgresql://user@host/a"
        assert found(url_file="url") == "sqlite:////b"
        assert ledger_of({}, folder=tmp_path) is None
        with pytest.raises(SettingsError, match="url_file"):
            found(url_file="absent")
        with pytest.raises(SettingsError, match="table"):
            ledger_of({"ledger": 3}, folder=tmp_path)
        assert bundle_of({"model": {"bundle": "b"}}, folder=tmp_path) == tmp_path / "b"
        assert bundle_of({}, folder=tmp_path) is None

    def test_relative_paths_are_beside_the_file(self, tmp_path):
        path = tmp_path / "s.toml"
        path.write_text("[viewer]\nledger = 'sqlite:///l.sqlite'\nstore = 'kept.sqlite'\n")
        settings, _ = read_settings(path)
        assert settings.ledger == f"sqlite:///{tmp_path}/l.sqlite"
        assert settings.store == str(tmp_path / "kept.sqlite")

    @pytest.mark.parametrize("text", ["[viewer", "viewer = 3", "\xff"])
    def test_a_broken_file_is_a_sentence(self, tmp_path, text):
        path = tmp_path / "s.toml"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(SettingsError):
            read_settings(path)
        with pytest.raises(SettingsError, match="cannot be read"):
            read_settings(tmp_path / "absent.toml")

    def test_secrets_are_not_in_the_repr(self):
        settings = ViewerSettings(authentication="proxy", proxy_secret=SECRET)
        assert SECRET not in repr(settings)

    def test_streamlit_is_told_to_be_quiet(self):
        made = options(ViewerSettings(), port=1, headless=True)
        assert made["browser.gatherUsageStats"] is False
        assert made["client.showErrorDetails"] == "none"
        assert made["server.address"] == "127.0.0.1"
        assert ViewerSettings().hosts == ("localhost", "127.0.0.1", "[::1]")

    def test_a_taken_port_is_a_sentence(self):
        import socket

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(SettingsError, match="--port"):
                free_port("127.0.0.1", port)
        assert free_port("127.0.0.1", 0) > 0


class TestRoles:
    def test_each_role_may_what_it_needs(self):
        assert "review" not in PERMISSIONS["viewer"]
        assert not {"read", "worklist", "upload"} & PERMISSIONS["operator"]
        assert [role for role in PERMISSIONS if "audit" in PERMISSIONS[role]] == ["admin"]

    def test_whoever_sits_here_has_the_local_role(self):
        assert local_identity("anna", ViewerSettings()).may("audit")
        assert not local_identity("anna", ViewerSettings(local_role="viewer")).may("review")

    def test_listed_users_have_their_role_and_strangers_none(self):
        settings = ViewerSettings(
            authentication="proxy",
            proxy_secret=SECRET,
            roles={"reader": ("anna@x.org",), "admin": ("anna@x.org",)},
        )
        assert identify(" Anna@X.org ", settings).role == "admin"
        assert identify("bob@x.org", settings).role == ""
        assert not identify("bob@x.org", settings).may("worklist")
        assert identify("", settings).user == ""

    @pytest.mark.parametrize(
        ("claim", "role"),
        [("reader", "reader"), (["viewer", "operator"], "operator"), ("root", ""), (None, ""),
         ({"role": "admin"}, ""), (7, "")],
    )  # fmt: skip
    def test_a_claim_names_the_role(self, claim, role):
        settings = ViewerSettings(authentication="oidc", oidc=OIDC, role_claim="role")
        assert identify("anna", settings, claim).role == role

    def test_a_list_beats_a_claim(self):
        settings = ViewerSettings(
            authentication="oidc", oidc=OIDC, role_claim="role", roles={"viewer": ("anna",)}
        )
        assert identify("anna", settings, "admin").role == "viewer"

    def test_a_proxy_must_know_the_secret(self):
        settings = ViewerSettings(authentication="proxy", proxy_secret=SECRET)
        user, secret = ("x-forwarded-email", "anna"), ("X-Viewer-Secret", SECRET)
        assert proxy_user([user], settings) == ""
        assert proxy_user([user, ("x-viewer-secret", "wrong")], settings) == ""
        assert proxy_user([user, ("x-viewer-secret", "ünfug")], settings) == ""
        assert proxy_user([user, secret], settings) == "anna"


class TestGrants:
    def setup_method(self):
        self.now = 0.0
        self.grants = Grants(60.0, clock=lambda: self.now)
        self.identity = local_identity("anna", ViewerSettings())

    def test_work_in_their_session_only(self):
        token = self.grants.give("case", "1", "mine", self.identity)
        assert self.grants.check(token, "mine").case_id == "1"
        assert self.grants.check(token, "other") is None
        assert self.grants.check(token, "") is None
        assert self.grants.check("guess", "mine") is None

    def test_are_the_same_for_the_same_page(self):
        tokens = {self.grants.give("case", "1", "mine", self.identity) for _ in range(3)}
        assert len(tokens) == 1

    def test_end_when_nobody_is_there(self):
        token = self.grants.give("case", "1", "mine", self.identity)
        self.grants.use("mine")
        self.now = 59.0
        assert self.grants.check(token, "mine") is not None
        self.now = 61.0
        assert self.grants.is_idle("mine")
        assert self.grants.check(token, "mine") is None
        self.grants.use("mine")
        assert self.grants.check(token, "mine") is not None

    def test_can_be_taken_back(self):
        token = self.grants.give("case", "1", "mine", self.identity)
        kept = self.grants.give("case", "1", "other", self.identity)
        self.grants.end("mine")
        assert self.grants.check(token, "mine") is None
        assert self.grants.check(kept, "other") is not None

    def test_end_when_another_person_takes_the_session_over(self):
        self.grants.use("mine", self.identity)
        token = self.grants.give("case", "1", "mine", self.identity)
        self.grants.use("mine", self.identity)
        self.grants.use("mine")
        assert self.grants.check(token, "mine") is not None
        self.grants.use("mine", replace(self.identity, user="bob"))
        assert self.grants.check(token, "mine") is None

    def test_can_be_locked_at_once(self):
        self.grants.use("mine", self.identity)
        token = self.grants.give("case", "1", "mine", self.identity)
        self.grants.lock("mine")
        assert self.grants.is_idle("mine")
        assert self.grants.check(token, "mine") is None
