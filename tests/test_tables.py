"""Tables: checks, round trips, and a file that survives a failed writing."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import (
    INDEX_COLUMNS,
    normalise_index,
    read_table,
    require_columns,
    write_chunks,
    write_table,
)


def _rows(**columns):
    return pd.DataFrame(
        {"path": ["a", "b"], "patient_id": ["1", "2"], "sop_uid": ["x", "y"]} | columns
    )


class TestIndex:
    def test_columns_and_unknown_labels(self):
        index = normalise_index(_rows(Mass=[1, None]))
        assert tuple(index.columns) == (*INDEX_COLUMNS, *FINDING_NAMES)
        assert index["Mass"].tolist()[0] == 1.0
        assert np.isnan(index["Mass"][1])
        assert index["Hernia"].isna().all()
        assert index["split"].tolist() == ["", ""]

    def test_is_idempotent(self):
        index = normalise_index(_rows(Mass=[1, 0], age=[40, None]))
        pd.testing.assert_frame_equal(normalise_index(index), index)

    @pytest.mark.parametrize(
        ("columns", "reason"),
        [
            ({"patient_id": ["1", None]}, "no_patients"),
            ({"sop_uid": ["x", "x"]}, "duplicated_images"),
            ({"Mass": [0.5, 1]}, "bad_labels"),
            ({"Mass": [-1, 1]}, "bad_labels"),
        ],
    )
    def test_refusals(self, columns, reason):
        with pytest.raises(InvalidTable) as caught:
            normalise_index(_rows(**columns))
        assert caught.value.reason == reason

    def test_missing_columns_are_named_with_those_present(self):
        with pytest.raises(InvalidTable, match=r"lacks the column\(s\) b.*It has: a"):
            require_columns(pd.DataFrame({"a": [1]}), ["a", "b"], what="index")


class TestRoundTrip:
    @settings(deadline=None)  # on a busy machine writing a file takes as long as it takes
    @given(texts=st.lists(st.text(alphabet=st.characters(codec="utf-8")), min_size=1, max_size=4))
    def test_parquet_keeps_any_text(self, texts, tmp_path_factory):
        path = tmp_path_factory.mktemp("tables") / "t.parquet"
        table = pd.DataFrame({"patient_id": texts, "x": np.arange(len(texts)) / 3})
        write_table(table, path)
        assert read_table(path)["patient_id"].tolist() == texts
        assert read_table(path)["x"].tolist() == table["x"].tolist()

    def test_csv_keys_stay_text(self, tmp_path):
        write_table(pd.DataFrame({"patient_id": ["007"], "v": [1]}), tmp_path / "t.csv")
        assert read_table(tmp_path / "t.csv")["patient_id"].tolist() == ["007"]


class TestBadFiles:
    def test_csv_runs_nothing_in_a_spreadsheet(self, tmp_path):
        said = ["=1+1", "@SUM(A1)", "-5", "'quoted", "plain"]
        table = pd.DataFrame({"sop_uid": list("abcde"), "patient_id": said, "score": [-1.0] * 5})
        for write in (write_table, lambda t, path: write_chunks([t, t.iloc[:0]], path)):
            write(table, tmp_path / "t.csv")
            lines = (tmp_path / "t.csv").read_text().splitlines()[1:]
            assert [line.split(",")[1][:2] for line in lines[:3]] == ["'=", "'@", "'-"]
            assert list(read_table(tmp_path / "t.csv")["patient_id"]) == said

    def test_missing(self, tmp_path):
        with pytest.raises(InvalidTable, match=r"'none.parquet' does not exist") as caught:
            read_table(tmp_path / "none.parquet")
        assert caught.value.reason == "missing_file"

    @pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
    def test_not_a_table(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"\x00\xff\xfe\x01" * 9)
        with pytest.raises(InvalidTable, match="not a readable"):
            read_table(tmp_path / name)

    def test_empty_csv(self, tmp_path):
        (tmp_path / "t.csv").write_bytes(b"")
        with pytest.raises(InvalidTable, match="not a readable"):
            read_table(tmp_path / "t.csv")

    def test_other_suffix(self, tmp_path):
        (tmp_path / "t.xlsx").write_bytes(b"x")
        with pytest.raises(SettingsError, match=r"\.parquet or \.csv"):
            read_table(tmp_path / "t.xlsx")
        with pytest.raises(SettingsError, match=r"\.parquet or \.csv"):
            write_table(pd.DataFrame(), tmp_path / "t.xlsx")


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_a_full_disk_leaves_the_old_file(tmp_path, name):
    path = tmp_path / name
    write_table(pd.DataFrame({"a": [1, 2, 3]}), path)
    before = path.read_bytes()
    code = """
        import resource, signal, sys
        import numpy as np, pandas as pd
        from monai_cxr.errors import SettingsError
        from monai_cxr.tables import write_table
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        table = pd.DataFrame({"a": np.random.default_rng(0).random(100_000)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # as a full disk: writes fail
        try:
            write_table(table, sys.argv[1])
        except SettingsError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "nothing was changed" in done.stdout
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


class TestChunks:
    def test_are_one_table(self, tmp_path):
        parts = [
            pd.DataFrame({"a": ["x", ""], "b": [1.0, np.nan]}),
            pd.DataFrame({"a": ["z"], "b": [2.0]}),
        ]
        for name in ("t.parquet", "t.csv"):
            write_chunks(iter(parts), tmp_path / name)
            table = read_table(tmp_path / name)
            assert table["b"].tolist()[::2] == [1.0, 2.0]
            assert len(table) == 3

    @pytest.mark.parametrize(("width", "n_groups"), [(1, 1), (1000, 4)])
    def test_small_parts_share_a_row_group_and_large_ones_do_not_wait(
        self, tmp_path, width, n_groups
    ):
        """Parts of 100 rows; eleven with 1,000 floats a row fill a group."""
        rows = np.arange(4000 * width, dtype=np.float32).reshape(-1, width)
        parts = [pd.DataFrame({"a": list(rows[i : i + 100])}) for i in range(0, 4000, 100)]
        write_chunks(iter(parts), tmp_path / "t.parquet")
        assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == n_groups
        np.testing.assert_array_equal(np.stack(read_table(tmp_path / "t.parquet")["a"]), rows)

    def test_a_failure_midway_leaves_the_older_file(self, tmp_path):
        def failing():
            yield pd.DataFrame({"a": [1]})
            raise KeyboardInterrupt

        path = tmp_path / "t.parquet"
        write_table(pd.DataFrame({"a": [7]}), path)
        with pytest.raises(KeyboardInterrupt):
            write_chunks(failing(), path)
        assert read_table(path)["a"].tolist() == [7]
        assert [one.name for one in tmp_path.iterdir()] == ["t.parquet"]

    def test_another_suffix(self, tmp_path):
        with pytest.raises(SettingsError, match="ending in"):
            write_chunks([], tmp_path / "t.txt")
