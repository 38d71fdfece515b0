import numpy as np
import pyarrow.parquet as pq
import pytest

from skyloom.errors import ErrorKind, SpecError
from skyloom.simulators.galaxies import DOMAINS, TRUTH, galaxies, main, pieces, write
from skyloom.simulators.galaxy_images import components, psf, render, structure
from skyloom.simulators.galaxy_model import AB_ZERO_NJY, class_of, draw_galaxy
from skyloom.simulators.surveys import SURVEYS, survey

pytest.importorskip("galsim")

SMALL = survey("sdss-small")


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_galaxy_depends_on_its_seed_and_place_alone(domain):
    whole = galaxies(SMALL, 6, seed=3, domain=domain)
    parts = [*pieces(SMALL, 6, seed=3, domain=domain, rows=4)]
    assert np.array_equal(np.concatenate([p.images for p in parts]), whole.images)
    later = galaxies(SMALL, 2, seed=3, domain=domain, start=4)
    assert np.array_equal(later.images, whole.images[4:])
    assert later.truth.equals(whole.truth.slice(4))
    assert not np.array_equal(galaxies(SMALL, 1, seed=4, domain=domain).images, whole.images[:1])


@pytest.mark.parametrize("real", [False, True])
def test_the_components_give_back_the_bulges_share_of_the_light(real):
    rng = np.random.default_rng(0)
    for _ in range(20):
        galaxy = draw_galaxy(rng, SMALL, real=real)
        bulge, disk = components(galaxy)
        assert bulge.flux / (bulge.flux + disk.flux) == pytest.approx(galaxy.bulge_fraction, abs=1e-6)
        assert bulge.flux + disk.flux == pytest.approx(AB_ZERO_NJY * 10 ** (-0.4 * galaxy.magnitude), rel=1e-9)


def test_classes_change_at_exactly_45_and_55_percent():
    below, above = np.nextafter(0.45, 0), np.nextafter(0.55, 1)
    assert class_of([0.0, below, 0.45, 0.5, 0.55, above, 1.0]).tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_the_image_holds_the_light_of_a_small_galaxy():
    rng = np.random.default_rng(1)
    galaxy = draw_galaxy(rng, SMALL, real=False)
    while galaxy.disk_arcsec > 1.2:
        galaxy = draw_galaxy(rng, SMALL, real=False)
    image = render(galaxy, SMALL, psf(SMALL))
    assert image.sum() == pytest.approx(galaxy.flux_njy, rel=0.05)
    assert np.unravel_index(image.argmax(), image.shape)[0] in {31, 32}


def test_arms_bars_and_dust_move_light_but_take_none():
    rng = np.random.default_rng(2)
    for _ in range(10):
        galaxy = draw_galaxy(rng, SMALL, real=True)
        moved = structure(galaxy, SMALL)
        assert abs(moved.sum()) < 1e-9 * galaxy.disk_njy
        assert np.abs(moved).sum() > 0


def test_correlated_noise_keeps_its_variance_and_joins_neighbours():
    def background(domain):
        images = galaxies(SMALL, 30, seed=5, domain=domain).images[:, 0]
        corners = images[:, :10, :10].reshape(30, -1)
        quiet = np.argsort(np.abs(np.median(corners, axis=1)))[:10]
        block = images[quiet, :10, :10]
        block = block - block.mean(axis=(1, 2), keepdims=True)
        shared = (block[:, :, 1:] * block[:, :, :-1]).mean(axis=(1, 2)) / block.var(axis=(1, 2))
        return float(np.median(block.std(axis=(1, 2)))), float(np.median(shared))

    white, joined = background("simulated"), background("real")
    assert joined[0] == pytest.approx(white[0], rel=0.2)
    assert abs(white[1]) < 0.2 < joined[1]


@pytest.mark.parametrize("name", SURVEYS)
def test_every_survey_renders_finite_images_of_its_size(name):
    for domain in DOMAINS:
        images = galaxies(survey(name), 1, seed=0, domain=domain).images
        assert images.shape == (1, 1, SURVEYS[name].size, SURVEYS[name].size)
        assert np.isfinite(images).all()


def test_the_truth_has_units_and_agrees_with_itself():
    drawn = galaxies(SMALL, 20, seed=1, domain="real")
    truth = drawn.truth
    assert truth.schema.names == [column.name for column in TRUTH]
    assert truth.schema.field("true_bulge_flux").metadata[b"unit"] == b"nJy"
    bulge, disk = truth["true_bulge_flux"].to_numpy(), truth["true_disk_flux"].to_numpy()
    np.testing.assert_allclose(bulge / (bulge + disk), truth["true_bulge_fraction"].to_numpy(), atol=1e-12)
    assert len(set(truth["object_id"].to_pylist())) == 20


def test_written_pieces_hold_the_same_galaxies(tmp_path):
    write(tmp_path / "out", SMALL, 5, seed=9, rows=2)
    files = sorted((tmp_path / "out").glob("cutouts-*.parquet"))
    assert len(files) == 3
    table = pq.read_table(files[1])
    whole = galaxies(SMALL, 5, seed=9)
    np.testing.assert_array_equal(table["cutout"].combine_chunks().to_numpy_ndarray(), whole.images[2:4])
    assert pq.read_table(tmp_path / "out" / "objects.parquet")["object_id"].to_pylist() == whole.ids.tolist()
    with pytest.raises(SpecError) as caught:
        write(tmp_path / "out", SMALL, 5, seed=9)
    assert caught.value.kind == ErrorKind.ALREADY_EXISTS


def test_the_command_refuses_a_negative_number(tmp_path, capsys):
    assert main(["--n", "3", "--seed", "-1", "--output", str(tmp_path / "x")]) == 2
    assert "seed -1" in capsys.readouterr().err
