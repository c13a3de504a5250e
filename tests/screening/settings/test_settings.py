"""Settings: what is wrong is named, with its neighbours; secrets stay out of the file."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monai_cxr.errors import SettingsError
from monai_cxr.screening.settings.checks import read_settings, settings_of

_LEAST = {"ledger": {"url": "sqlite:///l.sqlite"}, "spool": {"folder": "spool"}}


def _read(tmp_path, text):
    (tmp_path / "s.toml").write_text(text)
    return read_settings(tmp_path / "s.toml")


def test_the_viewer_s_table_may_lie_in_the_same_file(tmp_path):
    text = '[ledger]\nurl = "sqlite:///l"\n[spool]\nfolder = "s"\n[viewer]\nidle_minutes = 5\n'
    assert (
        _read(tmp_path, text).spool.folder
        == _read(tmp_path, text.split("[viewer]")[0]).spool.folder
    )


def test_a_whole_file(tmp_path, monkeypatch):
    monkeypatch.setenv("STOW_PASSWORD", "hidden")
    (tmp_path / "token").write_text("t0ken\n")
    read = _read(
        tmp_path,
        """
        log_level = "WARNING"
        [ledger]
        url = "postgresql://cxr@/ledger"
        [spool]
        folder = "spool"
        reserve_gib = 1
        [model]
        bundle = "bundle"
        [watch]
        folder = "in"
        delete = true
        [listener]
        port = 11113
        senders = [{ae_title = "CT1"}, {ae_title = "CT2", host = "10.0.0.2"}]
        [[destinations]]
        name = "web"
        kind = "dicomweb"
        url = "https://pacs/dicom-web"
        password_env = "STOW_PASSWORD"
        token_file = "token"
        [[destinations]]
        name = "files"
        kind = "folder"
        path = "out"
        """,
    )
    assert read.spool.folder == tmp_path / "spool"
    assert read.spool.reserve_gib == 1.0
    assert [s.ae_title for s in read.listener.senders] == ["CT1", "CT2"]
    web, files = read.destinations
    assert (web.password, web.token, files.path) == ("hidden", "t0ken", tmp_path / "out")
    assert "hidden" not in repr(read)
    assert "t0ken" not in repr(read)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lister": {}}, r"Unknown key 'lister'.*Did you mean listener"),
        ({"spool": {"folder": "s", "reserv_gib": 1}}, r"\[spool\].*reserve_gib"),
        ({"spool": {}}, "lack spool.folder"),
        ({"spool": {"folder": 3}}, "spool.folder as path, but got int"),
        ({"spool": {"folder": "s", "reserve_gib": True}}, "as float, but got bool"),
        ({"spool": {"folder": "s", "reserve_gib": -1}}, "at least 0"),
        ({"spool": "s"}, r"\[spool\] to be a table"),
        ({"log_level": "LOUD"}, "DEBUG, INFO"),
        ({"model": {"bundle": "b", "batch_size": 0}}, "at least 1"),
        ({"model": {"bundle": "b", "batch_size": 1.5}}, "as int, but got float"),
        ({"watch": {"folder": "w", "priority": "SOON"}}, "STAT, HIGH"),
        ({"watch": {"folder": "spool/in"}}, "apart"),
        ({"destinations": {}}, "to be a list"),
        ({"destinations": [{"name": "a", "kind": "fax"}]}, "folder, pacs, dicomweb"),
        ({"destinations": [{"name": "a", "kind": "folder"}]}, "needs destinations.a.path"),
        ({"destinations": [{"name": "a", "kind": "folder", "path": "x"}] * 2}, "different names"),
        (
            {"destinations": [{"name": "a", "kind": "folder", "path": "x", "objects": ["rtf"]}]},
            "sr, sc, seg, pdf, fhir, hl7",
        ),
        (
            {"destinations": [{"name": "a", "kind": "dicomweb", "url": "u", "objects": ["hl7"]}]},
            "kind folder",
        ),
        (
            {"destinations": [{"name": "a", "kind": "dicomweb", "url": "u", "password": "p"}]},
            "password_env",
        ),
        (
            {"destinations": [{"name": "a", "kind": "dicomweb", "url": "u", "token_env": "NO"}]},
            "not set",
        ),
        (
            {"destinations": [{"name": "a", "kind": "dicomweb", "url": "u", "token_file": "no"}]},
            "cannot be read",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, said):
    with pytest.raises(SettingsError, match=said):
        settings_of(_LEAST | change, folder=tmp_path, environment={})


def test_files_that_are_none(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(tmp_path / "absent.toml")
    with pytest.raises(SettingsError, match="not valid TOML"):
        _read(tmp_path, "[ledger\n")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
_NAMES = st.sampled_from(["ledger", "spool", "model", "watch", "listener", "destinations", "x"])


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.dictionaries(_NAMES, _JSON, max_size=3))
def test_nothing_else_is_raised(tmp_path_factory, content):
    with contextlib.suppress(SettingsError):
        settings_of(_LEAST | content, folder=tmp_path_factory.getbasetemp(), environment={})


def test_the_class_of_reports_is_one_that_reports_have(tmp_path):
    def destination(**values: object) -> object:
        tables = [{"name": "d", "kind": "folder", "path": "out", **values}]
        return settings_of({**_LEAST, "destinations": tables}, folder=tmp_path).destinations[0]

    assert destination().sr_class == "comprehensive_3d"
    assert destination(sr_class="comprehensive", objects=["pdf"]).objects == ("pdf",)
    with pytest.raises(SettingsError, match="comprehensive_3d, comprehensive, enhanced, but got"):
        destination(sr_class="Comprehensive")
    engine = {"name": "d", "kind": "mllp", "host": "h", "objects": ["hl7"], "sr_class": "enhanced"}
    with pytest.raises(SettingsError, match="sr_class"):
        settings_of({**_LEAST, "destinations": [engine]}, folder=tmp_path)
