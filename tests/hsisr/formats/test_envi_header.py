"""The text of ENVI headers: nothing is lost, and what the rules leave open is settled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import spectral
from hypothesis import given, settings
from hypothesis import strategies as st

from hsisr.errors import InputError
from hsisr.formats.envi.header import (
    EnviHeader,
    items,
    parse_header,
    read_header,
    to_integer,
    to_number,
)

LINES = st.lists(
    st.one_of(
        st.text(alphabet="ab ={};,1.\t", max_size=12),
        st.builds(lambda key, value: f"{key} = {value}", st.text("ab ;"), st.text("{}1, =;")),
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    ("lines", "entries"),
    [
        ("", []),
        ("samples = 3\r\nlines=4", [("samples", "3"), ("lines", "4")]),
        ("samples\t=\t3\rlines=4\r", [("samples", "3"), ("lines", "4")]),
        ("Header  Offset = 0 \n", [("Header  Offset", "0")]),
        (";AOI top = 3\n ; indented\n", [("", ";AOI top = 3"), ("", "; indented")]),
        ("no entry\n= 5\n\n", [("", "no entry"), ("", "= 5")]),
        ("w = {\n1\n,2\n}\nb = 2", [("w", "{\n1\n,2\n}"), ("b", "2")]),
        ("d = {a } b}\nx = 1", [("d", "{a } b}"), ("x", "1")]),
        ("d = {a { b\nc = d}\nx = 1", [("d", "{a { b\nc = d}"), ("x", "1")]),
        ("p = {\n{1, 2},\n{3, 4}\n}\nx = 1", [("p", "{\n{1, 2},\n{3, 4}\n}"), ("x", "1")]),
        ("n = {a,\n; odd\nb}\n; end", [("n", "{a,\n; odd\nb}"), ("", "; end")]),
        ("h = a {b\nx = 1=2", [("h", "a {b"), ("x", "1=2")]),
    ],
)
def test_the_entries_of_a_header(lines: str, entries: list[tuple[str, str]]) -> None:
    header = parse_header("\ufeffENVI \n" + lines)
    assert header.entries == tuple(entries)
    assert parse_header(header.render()) == header


@settings(max_examples=400, deadline=None)
@given(lines=LINES, newline=st.sampled_from(["\n", "\r\n", "\r"]))
def test_rendering_loses_nothing_whatever_the_text(lines: list[str], newline: str) -> None:
    try:
        header = parse_header(newline.join(["ENVI", *lines]))
    except InputError:
        return
    assert parse_header(header.render()) == header


def test_a_rendered_header_reads_the_same_in_spectral(tmp_path: Path) -> None:
    entries = (("samples", "3"), ("note", "{\n a, b,\n c}"), ("", "; remark"), ("x", "1"))
    (tmp_path / "a.hdr").write_text(EnviHeader(entries).render())
    other = spectral.envi.read_envi_header(str(tmp_path / "a.hdr"))
    assert other == {"samples": "3", "note": ["a", "b", "c"], "x": "1"}


def test_every_real_header_survives_word_for_word(shared_data: Callable[[str], Path]) -> None:
    paths = sorted(shared_data("envi").parent.rglob("*.hdr"))
    paths = [path for path in paths if path.read_bytes().startswith(b"ENVI")]
    assert len(paths) > 60
    for path in paths:
        header = read_header(path)
        assert parse_header(header.render()) == header
        assert _squeezed(header.render()) == _squeezed(path.read_text())


def _squeezed(text: str) -> str:
    return "".join(text.split())


def test_keys_are_found_in_any_case_and_spacing() -> None:
    header = parse_header("ENVI\nHeader   OFFSET = 7\nbands = 1\nBands = 2\n")
    assert header.values("header offset") == ["7"]
    assert header.values("bands") == ["1", "2"]
    assert header.values("lines") == []


def test_the_line_of_an_open_brace_is_named() -> None:
    with pytest.raises(InputError, match="line 3 "):
        parse_header("ENVI\nsamples = 3\nwavelength = {1,\n2,\nlines = 4\n")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "'ENVI' was expected"),
        (b"E", "'ENVI' was expected"),
        (b"ENVI META FILE\nFile : a", "META"),
        (b"BYTEORDER I\nLAYOUT BIL\n", "ESRI"),
        (b"nrows 3\n", "ESRI"),
        (b"\x7fELF\x00\x01", "'ENVI' was expected"),
        ("ENVI\nsamples = 3\n".encode("utf-16"), "UTF-16"),
        (b"ENVI\n" + b"x" * (1 << 20), "longer than 1048576 bytes"),
    ],
)
def test_files_that_are_no_header_are_refused_by_kind(
    tmp_path: Path, data: bytes, words: str
) -> None:
    path = tmp_path / "a.hdr"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        read_header(path)
    assert caught.value.where == str(path)


def test_latin_1_is_understood(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_bytes("ENVI\nwavelength units = µm\n".encode("latin-1"))
    assert read_header(tmp_path / "a.hdr").values("wavelength units") == ["µm"]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("".join(f"k{i} = 1\n" for i in range(80_000)), 80_000),
        ("k = 1\n" * 150_000, 1),
        ("x = {{\n" + "}\n\n\n" * 200_000 + "k = 1", 2),
        ("x = {" + "{}" * 400_000 + "}", 1),
        ("x = {" + "a\n" * 500_000 + "}", 1),
    ],
)
def test_a_megabyte_of_oddities_is_parsed(text: str, keys: int) -> None:
    assert len(parse_header("ENVI\n" + text).keys) == keys


@pytest.mark.parametrize("text", ["{" * 1_000_000, "{" * 200_000 + "}\njunk\n" * 100_000])
def test_a_megabyte_of_open_braces_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="line 2 is never closed"):
        parse_header("ENVI\nx = " + text)


@pytest.mark.parametrize(
    ("text", "integer", "number"),
    [
        ("5", 5, 5.0),
        ("+5.0", 5, 5.0),
        ("-3", -3, -3.0),
        ("1e9", None, 1e9),
        ("1.5D+03", None, 1500.0),
        (".5", None, 0.5),
        ("0x10", None, None),
        ("1_000", None, None),
        ("٣", None, None),
        ("３", None, None),
        ("", None, None),
        ("five", None, None),
        ("nan", None, None),
        ("1e999", None, None),
        ("9" * 40, None, float("9" * 40)),
    ],
)
def test_numbers_are_ascii_and_finite(text: str, integer: int | None, number: float | None) -> None:
    assert to_integer(text) == integer
    assert to_number(text) == number


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("{}", []),
        ("{1, 2 ,3}", ["1", "2", "3"]),
        ("{1, 2,}", ["1", "2"]),
        ("{1,,2}", ["1", "", "2"]),
        ("{a b,\n;c, d\n e}", ["a b", "e"]),
        ("7", ["7"]),
        ("{;a, b}", [";a", "b"]),
    ],
)
def test_the_items_of_a_list(value: str, found: list[str]) -> None:
    assert items(value) == found
