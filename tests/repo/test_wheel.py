from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile

import pytest


def _built(root, target, folder):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """The names in the wheel that the project builds."""
    with zipfile.ZipFile(_built(root, "wheel", tmp_path_factory.mktemp("wheel"))) as archive:
        return archive.namelist()


def test_every_page_and_what_the_tests_read_is_in_the_source_archive(root, tmp_path):
    with tarfile.open(_built(root, "sdist", tmp_path)) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("hsisr", "models", "completions", "tests", "docs")
    expected = {
        *root.glob("*.md"),
        *(path for name in folders for path in (root / name).rglob("*")),
    }
    assert held >= {
        str(path.relative_to(root))
        for path in expected
        if path.is_file() and path.suffix not in (".pyc", ".part")
    }


def test_nothing_but_the_two_packages_is_importable(wheel):
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if ".dist-info" not in top and ".data" not in top} == {
        "hsisr",
        "hsisr_models",
    }


def test_recipes_and_types_are_in_the_wheel(wheel, root):
    recipes = [*(root / "models" / "hsisr_models" / "recipes").rglob("*.toml")]
    assert any(recipe.parent.name == "protocols" for recipe in recipes)
    for recipe in recipes:
        assert str(recipe.relative_to(root / "models")) in wheel
    assert {"hsisr/py.typed", "hsisr_models/py.typed"} <= set(wheel)


def test_every_file_of_the_packages_is_in_the_wheel(wheel, root):
    # models and their cards among them
    expected = {
        str(path.relative_to(base))
        for base, package in ((root, "hsisr"), (root / "models", "hsisr_models"))
        for path in (base / package).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".part")
    }
    assert expected == {name for name in wheel if name.startswith(("hsisr/", "hsisr_models/"))}


def test_shells_find_their_completions(wheel):
    shared = {name.partition(".data/data/")[2] for name in wheel}
    assert {
        "share/bash-completion/completions/hsisr",
        "share/zsh/site-functions/_hsisr",
        "share/fish/vendor_completions.d/hsisr.fish",
    } <= shared


def test_no_tests_and_no_data_are_in_the_wheel(wheel):
    assert not [name for name in wheel if "test" in name or name.endswith((".npy", ".mat", ".img"))]
