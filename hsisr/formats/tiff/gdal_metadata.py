"""What GDAL says about a raster in words: the XML of TIFF tag 42112 and of `NAME.aux.xml`.

Both are read into one table, and what has a `role` (a description, a scale) becomes an item of
the domain `role`. GDAL escapes the values of the tag twice. Sources: GDAL's GTiff driver and its
Persistent Auxiliary Metadata (PAM).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape, unescape

Key = tuple[str, int | None, str]
"""Domain, band (None: the whole raster) and name."""
Items = dict[Key, str]

ROLE = "role"
"""The domain of what GDAL knows the meaning of: description, scale, offset, nodata, srs."""

_TAG_LIMIT = 4 << 20
"""Enough for all that is written here about 6000 bands, some 620 bytes each."""
_SIDE_LIMIT = 16 << 20
"""Side files may hold the histograms of all bands, too."""
_QUOTES = {"&quot;": '"', "&apos;": "'"}
_PAM_ROLES = {
    "Description": "description",
    "Scale": "scale",
    "Offset": "offset",
    "NoDataValue": "nodata",
    "SRS": "srs",
    "GeoTransform": "transform",
}


def side_file(path: Path) -> Path:
    """Where GDAL keeps what does not fit into the file at `path` itself."""
    return path.with_name(path.name + ".aux.xml")


def parse_tag(text: str) -> Items:
    """The items of tag 42112; raises `ValueError` if it is no such XML or too large."""
    if len(text) > _TAG_LIMIT:
        raise ValueError(f"{len(text)} characters; {_TAG_LIMIT} are read at most")
    return dict(_tag_items(_named(_parsed(text), "GDALMetadata")))


def read_side_file(path: Path) -> Items:
    """The items of the side file at `path`; raises `ValueError` and `OSError`."""
    root = _named(read_xml(path), "PAMDataset")
    items = dict(_pam_items(root, None))
    for band in root.iter("PAMRasterBand"):
        items |= _pam_items(band, int(band.get("band", "")) - 1)
    return items


def read_xml(path: Path) -> ElementTree.Element:
    """The root of the XML file at `path`; raises `ValueError` and `OSError`."""
    with path.open("rb") as file:
        data = file.read(_SIDE_LIMIT + 1)
    if len(data) > _SIDE_LIMIT:
        raise ValueError(f"more than {_SIDE_LIMIT >> 20} MB")
    return _parsed(data.decode("utf-8-sig"))


def _parsed(text: str) -> ElementTree.Element:
    # entities can be declared nowhere else, and expanding them is how small XML becomes huge
    if "<!DOCTYPE" in text:
        raise ValueError("a document type, which no writer of rasters declares")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error


def _named(root: ElementTree.Element, name: str) -> ElementTree.Element:
    if root.tag != name:
        raise ValueError(f"<{root.tag[:40]}> instead of <{name}>")
    return root


def _tag_items(root: ElementTree.Element) -> Iterator[tuple[Key, str]]:
    for item in root.iter("Item"):
        role, sample = item.get("role"), item.get("sample")
        name = item.get("name", "") if role is None else role
        domain = item.get("domain", "") if role is None else ROLE
        text = unescape(item.text or "", _QUOTES).strip()
        yield (domain, None if sample is None else int(sample), name), text


def _pam_items(parent: ElementTree.Element, band: int | None) -> Iterator[tuple[Key, str]]:
    for child in parent:
        if child.tag in _PAM_ROLES:
            yield (ROLE, band, _PAM_ROLES[child.tag]), (child.text or "").strip()
        elif child.tag == "Metadata":
            for item in child.iter("MDI"):
                yield (
                    (child.get("domain", ""), band, item.get("key", "")),
                    (item.text or "").strip(),
                )


def render_tag(items: Mapping[Key, str]) -> bytes:
    """The value of tag 42112 for `items`, in their order."""
    root = ElementTree.Element("GDALMetadata")
    for (domain, band, name), text in items.items():
        shown = name.upper() if domain == ROLE else _printable(name)
        item = ElementTree.SubElement(root, "Item", name=shown)
        if band is not None:
            item.set("sample", str(band))
        if domain:
            item.set(*(("role", name) if domain == ROLE else ("domain", domain)))
        item.text = escape(_printable(text))
    ElementTree.indent(root)
    return ElementTree.tostring(root)


def render_side_file(srs: str | None, categories: Sequence[str] = ()) -> bytes:
    """A side file with what the file itself cannot hold.

    A coordinate reference system, WKT or a code such as `EPSG:3035`, and the names of the values
    0, 1, ... of the first band.
    """
    root = ElementTree.Element("PAMDataset")
    if srs is not None:
        # without a mapping of axes GDAL takes x as easting or longitude, whatever its order
        ElementTree.SubElement(root, "SRS").text = _printable(srs)
    if categories:
        band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
        names = ElementTree.SubElement(band, "CategoryNames")
        for category in categories:
            ElementTree.SubElement(names, "Category").text = _printable(category)
    ElementTree.indent(root)
    return ElementTree.tostring(root) + b"\n"


def _printable(text: str) -> str:
    """`text` without the control characters that XML cannot hold."""
    return "".join(character for character in text if character >= " " or character in "\t\n\r")
