"""Folder cases: each film under its own name, each person a study of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk_films import film_of, person
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monai_cxr.errors import UnreadableImage
from monai_cxr.review.cases import CaseStatus
from monai_cxr.review.folder import FolderCases
from monai_cxr.review.priors import LATER, PRIOR, SAME_DAY, Priors

STUDY = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture(scope="module")
def sources(phantom_index) -> list[Path]:
    """Films whose pixels differ."""
    return [Path(path) for path in phantom_index.table["path"].head(4)]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "films"
    made.mkdir()
    return FolderCases(made, None, secret=b"test")


def put(folder: FolderCases, name: str, source: Path, **attributes: object) -> Path:
    path = folder._directory / name
    path.write_bytes(film_of(source, **attributes))
    return path


class TestWrongFilmByNumber:
    def test_wrong_film_by_number(self, folder, sources):
        """A film keeps its name when another one of its study arrives and stands before it."""
        one = person("P", "F", "19600101", "20240301")
        lateral = put(folder, "b.dcm", sources[0], StudyInstanceUID=STUDY, SOPInstanceUID="1.2.1",
                      **one, ViewPosition="LL")  # fmt: skip
        folder.update()
        (before,) = folder.cases()
        first = before.images[0]
        frontal = put(folder, "a.dcm", sources[1], StudyInstanceUID=STUDY, SOPInstanceUID="1.2.2",
                      **one, ViewPosition="PA")  # fmt: skip
        folder.update()
        (after,) = folder.cases()
        assert [image.key.sop_uid for image in after.images] == ["1.2.2", "1.2.1"]
        assert after.images[1].film_id == first.film_id != after.images[0].film_id
        assert folder.data(after.images[0]) == frontal.read_bytes()
        assert folder.data(first) == lateral.read_bytes()

    def test_a_file_that_took_the_place_of_another_is_not_shown_for_it(self, folder, sources):
        path = put(folder, "a.dcm", sources[0], SOPInstanceUID="1.2.1")
        folder.update()
        (case,) = folder.cases()
        path.write_bytes(film_of(sources[1], SOPInstanceUID="1.2.1"))
        with pytest.raises(UnreadableImage, match="changed"):
            folder.data(case.images[0])
        folder.update()
        (anew,) = folder.cases()
        assert anew.images[0].film_id != case.images[0].film_id
        assert folder.data(anew.images[0]) == path.read_bytes()

    @settings(max_examples=12, deadline=None,
              suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
    @given(order=st.permutations(range(4)), looks=st.lists(st.booleans(), min_size=4, max_size=4))
    def test_any_order_of_arrival_gives_each_film_its_own_bytes(
        self, order, looks, sources, tmp_path_factory
    ):
        folder = FolderCases(tmp_path_factory.mktemp("order"), None, secret=b"test")
        names = {}
        for number, look in zip(order, looks, strict=True):
            view = "LL" if number % 2 else "PA"
            path = put(folder, f"{number}.dcm", sources[number], StudyInstanceUID=STUDY,
                       SOPInstanceUID=f"1.2.{number}", ViewPosition=view,
                       PatientID="P")  # fmt: skip
            names[f"1.2.{number}"] = path
            if look:
                folder.update()
        folder.update()
        for case in folder.cases():
            for image in case.images:
                assert folder.data(image) == names[image.key.sop_uid].read_bytes()


class TestPeople:
    def test_two_patients_in_one_study(self, folder, sources):
        woman = person("DUP-1", "F", "19600101", "20240301")
        man = person("DUP-2", "M", "19940101", "20240301")
        for number, (who, sop) in enumerate(((woman, "1.2.1"), (man, "1.2.2"), (woman, "1.2.3"))):
            put(folder, f"{number}.dcm", sources[number], StudyInstanceUID=STUDY,
                SOPInstanceUID=sop, **who)  # fmt: skip
        folder.update()
        cases = sorted(folder.cases(), key=lambda case: case.patient_sex)
        assert [(case.patient_sex, len(case.images), case.shared) for case in cases] == [
            ("F", 2, True), ("M", 1, True),
        ]  # fmt: skip
        assert len({case.name for case in cases}) == 2

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    def test_their_links_do_not_depend_on_who_came_first(self, sources, tmp_path, order):
        people = [person("DUP", "F", "19600101", "20240301"),
                  person("DUP", "M", "19940101", "20240301"),
                  person("DUP", "M", "", "20240301")]  # fmt: skip
        folder = FolderCases(tmp_path, None, secret=b"test")
        for number in order:
            put(folder, f"{number}.dcm", sources[number], StudyInstanceUID=STUDY,
                SOPInstanceUID=f"1.2.{number}", **people[number])  # fmt: skip
            folder.update()
        found = {case.case_id: {i.key.sop_uid for i in case.images} for case in folder.cases()}
        again = FolderCases(tmp_path, None, secret=b"test")
        again.update()
        assert found == {c.case_id: {i.key.sop_uid for i in c.images} for c in again.cases()}
        assert sorted(map(sorted, found.values())) == [["1.2.0"], ["1.2.1", "1.2.2"]]


class TestPriors:
    def studies(self, folder, sources, *people):
        for number, who in enumerate(people):
            put(folder, f"{number}.dcm", sources[number % 4], StudyInstanceUID=f"1.2.{number}",
                SOPInstanceUID=f"1.2.{number}.1", **who)  # fmt: skip
        folder.update()
        return [
            next(case for case in folder.cases() if case.key.study_uid == f"1.2.{number}")
            for number in range(len(people))
        ]

    def relations(self, folder, case):
        found = Priors(folder).of(case)
        return [(one.case.key.study_uid, one.relation) for one in found.studies]

    def test_later_film_called_prior(self, folder, sources):
        evening, morning = self.studies(
            folder, sources,
            person("P", "F", "19600101", "20240301", "200000"),
            person("P", "F", "19600101", "20240301", "080000"),
        )  # fmt: skip
        assert self.relations(folder, evening) == [("1.2.1", PRIOR)]
        assert self.relations(folder, morning) == [("1.2.0", LATER)]

    def test_the_time_of_the_film_counts_more_than_that_of_the_order(self, folder, sources):
        def at(clock):
            return person("P", "F", "19600101", "20240301", "070000", AcquisitionDate="20240301",
                          AcquisitionTime=clock)  # fmt: skip

        evening, _ = self.studies(folder, sources, at("200000"), at("080000"))
        assert self.relations(folder, evening) == [("1.2.1", PRIOR)]

    def test_of_one_day_without_times_none_is_called_the_earlier(self, folder, sources):
        one, _ = self.studies(folder, sources, *[person("P", "F", "19600101", "20240301")] * 2)
        assert self.relations(folder, one) == [("1.2.1", SAME_DAY)]

    def test_are_all_of_them_the_latest_first(self, folder, sources):
        days = ("20240301", "20220101", "20230101", "20250101")
        now, *_ = self.studies(folder, sources, *(person("P", "F", "19600101", d) for d in days))
        assert self.relations(folder, now) == [
            ("1.2.2", PRIOR), ("1.2.1", PRIOR), ("1.2.3", LATER),
        ]  # fmt: skip

    def test_prior_of_another_person(self, folder, sources):
        now, *_ = self.studies(
            folder, sources,
            person("ANON", "F", "19540101", "20240301"),
            person("ANON", "M", "19980101", "20230101"),
        )  # fmt: skip
        found = Priors(folder).of(now)
        assert found.studies == ()
        assert set(found.others) >= {"sex", "date of birth"}

    def test_prior_of_another_person_by_age_alone(self, folder, sources):
        old = person("ANON", "F", "", "20240301") | {"PatientAge": "070Y"}
        young = person("ANON", "F", "", "20230101") | {"PatientAge": "025Y"}
        grown = person("ANON", "F", "", "20220601") | {"PatientAge": "068Y"}
        for one in (old, young, grown):
            one["PatientName"] = None
        now, *_ = self.studies(folder, sources, old, young, grown)
        assert self.relations(folder, now) == [("1.2.2", PRIOR)]
        assert Priors(folder).of(now).others == ("age",)

    def test_a_married_name_is_the_same_person(self, folder, sources):
        now = person("P", "F", "19600101", "20240301") | {"PatientName": "ROE^JANE"}
        before = person("P", "F", "19600101", "20200301") | {"PatientName": "DOE^JANE"}
        case, _ = self.studies(folder, sources, now, before)
        assert self.relations(folder, case) == [("1.2.1", PRIOR)]

    def test_undated_studies_are_no_priors(self, folder, sources):
        now, undated = self.studies(
            folder, sources,
            person("P", "F", "19600101", "20240301"),
            person("P", "F", "19600101", ""),
        )  # fmt: skip
        assert Priors(folder).of(now).undated == 1
        assert self.relations(folder, now) == self.relations(folder, undated) == []


def test_half_arrived_film_stays_failed(folder, sources):
    """A file is read again when its size or time changes, with its patient and its date."""
    whole = film_of(sources[0], SOPInstanceUID="1.2.1", **person("P", "F", "19600101", "20240301"))
    for cut in (300, len(whole) // 2):
        path = folder._directory / f"{cut}.dcm"
        path.write_bytes(whole[:cut])
        folder.update()
        path.write_bytes(whole)
        folder.update()
        case = next(c for c in folder.cases() if c.images)
        assert case.images[0].reason == "no_model"
        assert (case.patient_sex, case.acquired) == ("F", "20240301")
        assert case.status is CaseStatus.NOT_ANALYSED
        assert len(folder.cases()) == 1  # the second file is a copy of the first
