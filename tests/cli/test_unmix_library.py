"""Unmixing by spectra that are known, and names for spectra that were found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import spectral
from scipy.optimize import nnls

NAMES = ("oak", "gravel, wet", "sand")


def _maps(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.descriptions


def _centres(world):
    return np.array(spectral.open_image(str(world.header)).bands.centers)


@pytest.fixture
def unmix(world, hsisr):
    """Unmixes the world's scene, without a picture."""
    return lambda *options: hsisr("unmix", world.header, "--no-quicklook", *options)


@pytest.fixture
def columns(world, tmp_path):
    """A table with a column for each of the world's materials, in another order of bands."""
    path = tmp_path / "materials.csv"
    heads = ",".join(f'"{name}"' for name in NAMES)
    rows = np.column_stack((_centres(world), world.spectra.T))[::-1]
    text = [",".join(f"{value:.9g}" for value in row) for row in rows]
    path.write_text("\n".join([f"wavelength_nm,{heads}", *text]) + "\n")
    return path


@pytest.fixture
def rows(world, tmp_path):
    """A table with a row for each spectrum; of one material there are two, fresh and dry."""
    dry = world.spectra[:1] * np.linspace(1.2, 0.6, len(world.spectra[0]))
    spectra = np.concatenate((world.spectra, dry))
    path = tmp_path / "kinds.csv"
    names, kinds = ("oak", "gravel", "sand", "oak, dry"), ("plant", "stone", "stone", "plant")
    lines = [
        ",".join([f'"{name}"', kind, *(f"{value:.9g}" for value in spectrum)])
        for name, kind, spectrum in zip(names, kinds, spectra, strict=True)
    ]
    head = ",".join(["name", "kind", *(f"{centre:g}" for centre in _centres(world))])
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_abundances_are_those_of_the_librarys_spectra(world, columns, unmix, tmp_path):
    assert unmix("--library", columns, "-o", tmp_path / "x").code == 0
    maps, names = _maps(tmp_path / "x_abundance.img")
    there = np.isfinite(maps).all(0)
    np.testing.assert_allclose(maps[:, there], world.abundances[:, there], atol=2e-3)
    written = spectral.open_image(str(tmp_path / "x_endmembers.hdr"))
    np.testing.assert_allclose(written.spectra, world.spectra, atol=1e-6)
    # a comma would end a name in an ENVI header
    assert names == tuple(written.names) == ("oak", "gravel; wet", "sand")


def test_abundances_of_a_class_are_added_up(world, rows, unmix, tmp_path):
    how = ("--library", rows, "--class-column", "kind", "--abundances", "nnls")
    assert unmix(*how, "-o", tmp_path / "x").code == 0
    maps, names = _maps(tmp_path / "x_abundance.img")
    dominant, _ = _maps(tmp_path / "x_class.img")
    assert names == ("plant", "stone")
    spectra = np.asarray(
        spectral.open_image(str(tmp_path / "x_endmembers.hdr")).spectra, np.float64
    )
    assert len(spectra) == 4
    scene = _maps(world.data)[0] / 10_000
    for row, col in ((3, 7), (40, 20), (63, 47)):
        weights, _ = nnls(spectra.T, scene[:, row, col])
        by_class = weights[[0, 3]].sum(), weights[[1, 2]].sum()
        np.testing.assert_allclose(maps[:, row, col], by_class, atol=1e-5)
        assert dominant[0, row, col] == 1 + np.argmax(by_class)


def test_without_sparsity_sunsal_is_nnls_and_with_it_there_is_less(world, columns, unmix, tmp_path):
    how = ("--library", columns, "--abundances", "sunsal", "--sparsity")
    for sparsity in ("0", "0.3"):
        assert unmix(*how, sparsity, "-o", tmp_path / sparsity).code == 0
    none, much = (_maps(tmp_path / f"{sparsity}_abundance.img")[0] for sparsity in ("0", "0.3"))
    scene = _maps(world.data)[0] / 10_000
    for row, col in ((3, 7), (40, 20), (63, 47)):
        weights, _ = nnls(world.spectra.T.astype(float), scene[:, row, col])
        np.testing.assert_allclose(none[:, row, col], weights, atol=1e-4)
        assert much[:, row, col].sum() < none[:, row, col].sum() - 0.1


def test_a_constraint_of_sunsal_is_switched(columns, unmix, tmp_path):
    how = ("--library", columns, "--abundances", "sunsal", "--asc", "--strict")
    assert unmix(*how, "-o", tmp_path / "x").code == 0
    maps, _ = _maps(tmp_path / "x_abundance.img")
    np.testing.assert_allclose(np.nansum(maps, 0)[3:, 5:], 1, atol=1e-5)


def test_mesma_takes_one_spectrum_of_a_class(rows, unmix, tmp_path):
    how = ("--library", rows, "--abundances", "mesma")
    assert unmix(*how, "-o", tmp_path / "any").code == 0
    assert unmix(*how, "--class-column", "kind", "-o", tmp_path / "kinds").code == 0
    maps, names = _maps(tmp_path / "kinds_abundance.img")
    there = np.isfinite(maps).all(0)
    assert names == ("plant", "stone")
    np.testing.assert_allclose(maps[:, there].sum(0), 1, atol=1e-6)
    gain, _ = _maps(tmp_path / "kinds_gain.img")
    assert (np.isfinite(gain[0]) == there).all()
    # two stones cannot be in one pixel
    found, by_kind = (_maps(tmp_path / f"{name}_rmse.img")[0][0] for name in ("any", "kinds"))
    assert (by_kind[there] >= found[there] - 1e-6).all()
    assert (by_kind[there] > found[there] + 1e-3).any()


def test_tiles_of_classes_are_the_whole_scene_bit_for_bit(rows, unmix, tmp_path):
    for name, tile in (("whole", 100), ("tiles", 17)):
        how = ("--library", rows, "--class-column", "kind", "--tile", tile)
        assert unmix(*how, "-o", tmp_path / name).code == 0
    for kind in ("abundance", "rmse", "sam", "class"):
        files = [(tmp_path / f"{name}_{kind}.img").read_bytes() for name in ("whole", "tiles")]
        assert files[0] == files[1]


def test_a_library_in_other_units_is_brought_to_the_scenes(world, columns, unmix, tmp_path):
    table = np.loadtxt(columns, delimiter=",", skiprows=1)
    table[:, 1:] *= 10_000
    np.savetxt(tmp_path / "big.csv", table, delimiter=",", header="nm,a,b,c", comments="")
    ended = unmix("--library", tmp_path / "big.csv", "-o", tmp_path / "x")
    assert ended.code == 0
    assert "note: big.csv: the library is divided by 10000" in ended.err
    written = spectral.open_image(str(tmp_path / "x_endmembers.hdr"))
    np.testing.assert_allclose(written.spectra, world.spectra, atol=1e-6)


def test_a_dry_run_by_a_library_writes_nothing(columns, unmix, tmp_path):
    before = sorted(tmp_path.iterdir())
    ended = unmix("--library", columns, "-o", tmp_path, "--dry-run")
    assert ended.code == 0
    assert "the spectra of materials.csv, abundances by sclsu" in ended.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_changed_library_is_another_run(columns, unmix, tmp_path):
    command = ("--library", columns, "-o", tmp_path / "x")
    assert unmix(*command).code == 0
    assert "was made in this very way before" in unmix(*command).err
    columns.write_text(columns.read_text().replace("sand", "silt"))
    assert "already exists" in unmix(*command).first


def test_spectra_that_are_one_material_are_a_fault(columns, unmix, tmp_path):
    table = np.loadtxt(columns, delimiter=",", skiprows=1)
    table = np.column_stack((table, table[:, 2] * 1.3))
    np.savetxt(tmp_path / "twins.csv", table, delimiter=",", header="nm,a,b,c,d", comments="")
    command = ("--library", tmp_path / "twins.csv", "--strict")
    ended = unmix(*command, "-o", tmp_path / "x")
    assert ended.code == 7
    assert "b and d are one material: 0.000 rad apart" in ended.first
    record = json.loads((tmp_path / "x_abundance.run.json").read_text())
    (twins,) = record["duplicate_endmembers"]
    assert twins["names"] == ["b", "d"]
    assert twins["angle_rad"] == pytest.approx(0, abs=1e-5)


def test_endmembers_are_named_after_the_most_similar_spectra(world, columns, unmix, tmp_path):
    command = ("-p", 3, "--method", "vca", "--identify", columns)
    ended = unmix(*command, "-o", tmp_path / "x")
    found = np.asarray(spectral.open_image(str(tmp_path / "x_endmembers.hdr")).spectra, np.float64)
    unit, known = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (found, world.spectra.astype(float))
    )
    angles = np.degrees(np.arccos(np.clip(unit @ known.T, -1, 1)))
    record = json.loads((tmp_path / "x_abundance.run.json").read_text())
    for number, entry in enumerate(record["identified"]):
        assert entry["endmember"] == f"endmember {number + 1}"
        order = np.argsort(angles[number])
        assert [match["name"] for match in entry["nearest"]] == [NAMES[i] for i in order]
        expected = angles[number][order]
        np.testing.assert_allclose([m["angle_deg"] for m in entry["nearest"]], expected, atol=1e-3)
        line = next(line for line in ended.err.splitlines() if line.startswith(entry["endmember"]))
        assert NAMES[order[0]] in line
        assert line.endswith(f"{expected[0]:.2f}°")


def test_a_trained_models_endmembers_are_named_too(world, columns, unmix, tmp_path):
    command = ("--model", world.run, "--identify", columns)
    assert unmix(*command, "-o", tmp_path / "x").code == 0
    record = json.loads((tmp_path / "x_abundance.run.json").read_text())
    assert {len(entry["nearest"]) for entry in record["identified"]} == {3}
