"""Files that a user names are found, and what is not there is said."""

import pytest

from skyloom.errors import ErrorKind, NotFoundError
from skyloom.places import files_at


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.FITS", "a.fits", "deep/c.fits", "note.txt", "odd[1].dat"):
        (tmp_path / name).touch()
    return tmp_path


def names(folder, place):
    return [path.relative_to(folder).as_posix() for path in files_at(str(folder / place), [".fits"], what="image")]


def test_a_directory_gives_files_of_its_endings_however_deep_and_in_order(folder):
    assert names(folder, "") == ["a.fits", "b.FITS", "deep/c.fits"]


def test_a_file_or_a_pattern_may_have_any_ending(folder):
    assert names(folder, "note.txt") == ["note.txt"]
    assert names(folder, "*.txt") == ["note.txt"]
    assert names(folder, "**/*.fits") == ["a.fits", "deep/c.fits"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(folder):
    assert names(folder, "odd[1].dat") == ["odd[1].dat"]


@pytest.mark.parametrize("place", ["none.fits", "*.nothing", "deep/deeper"])
def test_what_is_not_there_is_said(folder, place):
    with pytest.raises(NotFoundError, match="no image at") as raised:
        names(folder, place)
    assert raised.value.kind is ErrorKind.NO_SUCH_FILE
