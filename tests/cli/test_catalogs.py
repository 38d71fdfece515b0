import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.cli import main


def test_describe_prints_size_and_columns_with_units(shared_tiny_catalog, capsys):
    assert main(["catalog", "describe", str(shared_tiny_catalog)]) == 0
    out = capsys.readouterr().out
    assert "rows                240" in out
    line = next(line for line in out.splitlines() if line.startswith("lc.flux "))
    assert "nJy" in line.split()


def test_describe_in_json_is_one_object(shared_tiny_catalog, capsys):
    assert main(["catalog", "describe", str(shared_tiny_catalog), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 240
    assert {"name": "ra", "unit": "deg"}.items() <= next(c for c in found["columns"] if c["name"] == "ra").items()


def test_what_is_no_catalog_is_a_wrong_request(tmp_path, capsys):
    assert main(["catalog", "describe", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error [not-a-catalog]: ")


def test_check_of_a_sound_catalog_says_how_much_it_looked_at(shared_tiny_catalog, capsys):
    assert main(["catalog", "check", str(shared_tiny_catalog)]) == 0
    assert "240 rows" in capsys.readouterr().out


def test_check_of_a_truncated_file_is_exit_code_1_and_names_it(tiny_catalog, capsys):
    root = tiny_catalog()
    victim = sorted(root.rglob("Npix=*.parquet"))[2]
    victim.write_bytes(victim.read_bytes()[:-20])
    assert main(["catalog", "check", str(root), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert any(finding["file"].endswith(victim.name) for finding in report["findings"])


def test_list_shows_descriptors_and_says_which_is_broken(tmp_path, capsys):
    (tmp_path / "good.toml").write_text('name = "good"\nlocation = "/data/good"\nlicence = "CC0-1.0"\n')
    (tmp_path / "bad.toml").write_text('name = "bad"\nlocaton = "/data/bad"\n')
    assert main(["catalog", "list", str(tmp_path), "--json"]) == 0
    good, bad = sorted(json.loads(capsys.readouterr().out), key=lambda row: row["name"] != "good")
    assert good["location"] == "/data/good"
    assert good["trouble"] is None
    assert "locat" in bad["trouble"]


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "stars.parquet"
    columns = {
        "OID": pa.array(2**53 + 1 + np.arange(50)),
        "RAJ2000": rng.uniform(0, 360, 50),
        "DEJ2000": rng.uniform(-80, 80, 50),
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_one_table_needs_only_options(table, tmp_path, capsys):
    out = tmp_path / "hats" / "stars"
    words = ["catalog", "import", str(table), "--ra", "RAJ2000", "--dec", "DEJ2000", "--id", "OID"]
    assert main([*words, "--output", str(out), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["name"], made["rows"], made["id_column"]) == ("stars", 50, "OID")
    assert main([*words, "--output", str(out)]) == 2  # an import never overwrites
    assert "already-exists" in capsys.readouterr().err


def test_a_misspelt_position_column_is_refused_with_the_close_ones(table, tmp_path, capsys):
    words = [
        "catalog",
        "import",
        str(table),
        "--ra",
        "RAJ200",
        "--dec",
        "DEJ2000",
        "--output",
        str(tmp_path / "c"),
    ]
    assert main(words) == 2
    assert "RAJ2000" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_an_import_without_a_place_is_refused(table, capsys):
    assert main(["catalog", "import", str(table)]) == 2
    assert "--output" in capsys.readouterr().err
