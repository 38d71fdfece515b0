"""What cross-matches say of an alert."""

from __future__ import annotations

import pytest

from alert_tables import alerts
from skyloom.evaluation.alert_labels import DISTRUSTED, UNLABELLED, class_of, group_of, labels_of

NOTHING = {"source": "x", "cdsxmatch": None, "tns": None, "gaiaClass": None, "vsx": None, "ssdistnr": -999.0}
STAR, GALAXY, ASTEROID = {0}, {1}, {2}


@pytest.mark.parametrize(
    ("said", "classes"),
    [
        ({}, set()),
        ({"cdsxmatch": "RRLyr"}, STAR),
        ({"cdsxmatch": "YSO_Candidate"}, STAR),
        ({"cdsxmatch": "Seyfert_2"}, GALAXY),
        ({"cdsxmatch": "Supernova"}, GALAXY),
        ({"cdsxmatch": "Candidate_SN*"}, set()),
        ({"cdsxmatch": "Unknown"}, set()),
        ({"cdsxmatch": "Fail 503"}, set()),
        ({"cdsxmatch": "Radio(cm)"}, set()),
        ({"tns": "SLSN-I"}, GALAXY),
        ({"tns": "TDE-H-He"}, GALAXY),
        ({"tns": "CV"}, STAR),
        ({"tns": ""}, set()),
        ({"gaiaClass": "LPV"}, STAR),
        ({"gaiaClass": "nan"}, set()),
        ({"vsx": "UGSU+E"}, STAR),
        ({"vsx": "AGN:"}, GALAXY),
        ({"vsx": "Fail 503"}, set()),
        ({"ssdistnr": 0.0}, ASTEROID),
        ({"ssdistnr": 10.0}, ASTEROID),
        ({"ssdistnr": 10.5}, set()),
        ({"ssdistnr": None}, set()),
        ({"cdsxmatch": "Galaxy", "tns": "SLSN-I"}, GALAXY),
        ({"cdsxmatch": "RRLyr", "ssdistnr": 2.0}, STAR | ASTEROID),
        ({"cdsxmatch": "RRLyr", "source": DISTRUSTED[0]}, set()),
        ({"ssdistnr": 2.0, "source": DISTRUSTED[0]}, ASTEROID),
    ],
)
def test_a_cross_match_points_to_a_class_or_to_none(said, classes):
    assert class_of(NOTHING | said) == classes


def test_models_scores_are_no_labels():
    assert class_of(NOTHING | {"drb": 1.0, "rb": 1.0, "roid": 3}) == set()


def test_an_object_has_the_class_of_any_of_its_alerts_and_none_where_they_differ():
    table = alerts(
        5,
        objectId=["a", "a", "b", "b", "c"],
        cdsxmatch=["Unknown", "RRLyr", "Galaxy", "Star", None],
        ssdistnr=[-999.0] * 5,
    )
    assert labels_of(table).tolist() == [0, 0, UNLABELLED, UNLABELLED, UNLABELLED]


def test_files_chosen_for_one_purpose_are_one_group():
    found = group_of(
        ["kowalski", "fink-filters:few_SLSN_alerts.parquet", "fink-filters:dwarf_agn.parquet", "other"]
    )
    assert found.tolist() == ["kowalski", "superluminous", "fink filters", "other"]
