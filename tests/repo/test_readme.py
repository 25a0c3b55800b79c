from __future__ import annotations

import re

import pytest
from typer.main import get_command

from hsisr.cli import app

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "models/README.md", "completions/README.md")


@pytest.fixture(scope="module")
def commands():
    """Every command and its options, as typer knows them."""
    return {
        name: {flag for parameter in command.params for flag in parameter.opts}
        for name, command in get_command(app).commands.items()
    }


def _lines(text):
    """The command lines of a document's code, without what follows on the same line."""
    code = re.findall(r"^(?:    |\$ )(?!#)(.*)$", text, re.M)
    return [part for line in code for part in re.split(r"&&|>|#", line.removeprefix("$ "))]


def test_the_readme_tells_of_every_command(root, commands):
    text = (root / "README.md").read_text()
    for name in commands:
        assert f"`hsisr {name}`" in text


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_line_in_the_documents_exists(document, root, commands):
    for line in _lines((root / document).read_text()):
        words = line.split()
        if words[:1] != ["hsisr"]:
            continue
        assert words[1] in commands, line
        for flag in words[2:]:
            if re.fullmatch(r"-{1,2}[a-z-]+", flag):
                assert flag in commands[words[1]], line


def test_the_two_lines_that_prove_everything_stand_in_the_readme(root):
    lines = (root / "README.md").read_text().splitlines()
    assert "    pip install '.[demo]' && hsisr demo" in lines
    assert "    pip install '.[test]' && pytest" in lines


def test_the_readme_is_one_screen(root):
    assert len((root / "README.md").read_text().splitlines()) <= 100


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document, root):
    text = (root / document).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((root / document).parent / target).exists(), target


def test_the_picture_is_there_and_small(root):
    data = (root / "docs" / "before_after.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 400_000


def test_every_option_says_what_it_does():
    silent = [
        f"{name} {parameter.opts[-1]}"
        for name, command in get_command(app).commands.items()
        for parameter in command.params
        if parameter.name != "help" and not parameter.help
    ]
    assert not silent


def test_the_newest_version_in_the_changelog_is_this_one(root):
    from hsisr import __version__

    versions = re.findall(r"^## \[(\d.*?)\]", (root / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == __version__
