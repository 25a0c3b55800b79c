"""A table says the same in every form, and what is read back is what was put in."""

from __future__ import annotations

import csv
import io
import json
import math
import re

import numpy as np
import pytest

from hsisr.bench.scoreboard import Entry, Table, joined

NAN, INF = math.nan, math.inf
FACTS = {
    "parameters": 445_312.0,
    "operations": 1.4912e6,
    "pixels_per_second": 123_456.0,
    "peak_memory": 412.4 * 2**20,
    "train_seconds": 1230.0,
    "unmix_seconds": 90.0,
    "steps": 1200,
}
BICUBIC = Entry("bicubic", {"psnr": [37.6377], "sam": [3.404], "ssim": [0.8949]}, {"parameters": 0})
GOOD = Entry(
    "unmixing_sr & 100 % {best} [x4]",
    {"psnr": [40.1, 40.2, 40.36], "sam": [2.3, 2.25, 2.2], "ssim": [0.941, 0.94, 0.9421]},
    FACTS,
    [0, 1, 2],
)
WIDE = Entry(
    "sspsr|wide\\*", {"psnr": [40.0, 40.3], "sam": [NAN, 1.0]}, {"parameters": None}, [0, 2]
)
TABLE = Table("Samson ×4, 3 seeds_", [BICUBIC, GOOD, WIDE], ["peak² & 1 %"])


def latex_rows(text: str) -> list[list[str]]:
    """The cells of a `tabular`, with nothing escaped."""
    body = text.partition(r"\begin{tabular}")[2].partition(r"\end{tabular}")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert not any(line.startswith(("[", "*")) for line in lines)
    return [[plain_latex(cell) for cell in re.split(r"(?<!\\)&", line[:-2])] for line in lines]


def plain_latex(text: str) -> str:
    named = {
        r"\textbackslash{}": "\0",
        "{[}": "[",
        "{*}": "*",
        r"$\pm$": "±",
        "$-$": "−",
        "--": "–",
    }
    named |= {r"$\uparrow$": "↑", r"$\downarrow$": "↓", r"$^\circ$": "°", "$|$": "|", "$^2$": "²"}
    for code, sign in named.items():
        text = text.replace(code, sign)
    return re.sub(r"\\([&%$#_{}])", r"\1", text).replace("\0", "\\").strip()


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert all(set(cell) <= set("-: ") for cell in cells[1])
    return [[re.sub(r"\\([^A-Za-z0-9\s])", r"\1", cell).strip() for cell in row] for row in cells]


def bare(cell: str) -> str:
    return re.sub(r"\\(?:textbf|underline)\{([^}]*)\}|\*\*(.*?)\*\*", r"\1\2", cell)


def test_every_row_of_a_latex_table_has_a_cell_for_every_column() -> None:
    text = TABLE.latex()
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)
    assert columns is not None
    rows = latex_rows(text)
    assert {len(row) for row in rows} == {len(columns[1])} == {11}
    assert [row[0] for row in rows] == ["", *(entry.name for entry in TABLE.entries)]
    assert r"\caption{Samson $\times$4, 3 seeds\_}" in text
    assert r"peak$^2$ \& 1 \%" in text
    order = [text.index(rf"\{rule}") for rule in ("toprule", "midrule", "bottomrule")]
    assert order == sorted(order)
    assert text.isascii()


def test_every_row_of_a_markdown_table_has_a_cell_for_every_column() -> None:
    rows = markdown_rows(TABLE.markdown())
    assert {len(row) for row in rows} == {11}
    assert [row[0] for row in rows] == ["", "---", *(entry.name for entry in TABLE.entries)]


def test_all_forms_show_the_same_numbers() -> None:
    latex, markdown = latex_rows(TABLE.latex()), markdown_rows(TABLE.markdown())
    del markdown[1]
    assert [list(map(bare, row)) for row in latex] == [list(map(bare, row)) for row in markdown]
    text = TABLE.text()[2:6]
    for shown, line in zip(latex, text, strict=True):
        words = [bare(cell) for cell in shown if cell]
        assert re.sub(r"\s+", "", line) == re.sub(r"\s+", "", "".join(words))


def test_a_cell_is_the_mean_and_the_deviation_over_the_seeds() -> None:
    heading, bicubic, good, wide = latex_rows(TABLE.latex())
    assert heading[1:4] == ["PSNR [dB] ↑", "SAM [°] ↓", "SSIM ↑"]
    values = [40.1, 40.2, 40.36]
    assert bare(good[1]) == f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
    assert bicubic[1:4] == ["37.64", r"\underline{3.404}", r"\underline{0.8949}"]
    assert wide[2:4] == ["nan", "–"]


def test_facts_have_three_digits_and_a_unit() -> None:
    heading, _, good, wide = latex_rows(TABLE.latex())
    assert dict(zip(heading[4:], good[4:], strict=True)) == {
        "parameters [M]": "0.445",
        "operations [MFLOP/pixel]": "1.49",
        "output [kpixel/s]": "123",
        "memory [MiB]": "412",
        "training [min]": "20.5",
        "unmixing [min]": "1.50",
        "steps": "1200",
    }
    assert set(wide[4:]) == {"–"}


def test_facts_that_nobody_knows_have_no_column() -> None:
    table = Table("", [BICUBIC])
    assert latex_rows(table.latex())[0][4:] == ["parameters [M]"]
    assert latex_rows(table.latex())[1][4:] == ["0"]


def marks(measure: str, *means: float | None) -> list[str]:
    """How each of some methods is marked: b the best, u the second."""
    entries = [
        Entry(f"m{i}", {} if mean is None else {measure: [mean]}, {})
        for i, mean in enumerate(means)
    ]
    table = Table("", [*entries, Entry("none", {measure: []}, {})])
    cells = [row[1] for row in latex_rows(table.latex())[1:-1]]
    bold = ["**" in row[1] for row in markdown_rows(table.markdown())[2:-1]]
    assert bold == ["textbf" in cell for cell in cells]
    return ["b" if "textbf" in cell else "u" if "underline" in cell else "" for cell in cells]


@pytest.mark.parametrize(
    ("measure", "means", "expected"),
    [
        ("psnr", (30.0, 40.0, 39.0), ["", "b", "u"]),
        ("sam", (3.0, 4.0, 5.0), ["b", "u", ""]),
        ("psnr", (30.0, NAN, None), ["", "", ""]),
        ("sam", (NAN, 4.0, 5.0), ["", "b", "u"]),
        ("psnr", (INF, 4.0, NAN), ["b", "u", ""]),
        ("psnr", (-INF, -4.0), ["u", "b"]),
        # what reads the same is as good
        ("psnr", (30.001, 30.002, 29.0), ["b", "b", "u"]),
        ("unheard_of", (1.0, 2.0), ["", ""]),
    ],
)
def test_the_best_is_bold_and_the_second_underlined(
    measure: str, means: tuple[float | None, ...], expected: list[str]
) -> None:
    assert marks(measure, *means) == expected


def test_csv_holds_the_values_of_every_seed_in_full() -> None:
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert len(rows) == 6
    for entry in TABLE.entries:
        mine = [row for row in rows if row["name"] == entry.name]
        assert [row["seed"] for row in mine] == ([str(seed) for seed in entry.seeds] or [""])
        for measure, values in entry.measures.items():
            found = [float(row[measure]) for row in mine if row[measure]]
            np.testing.assert_array_equal(found, values)
        known = {key: value for key, value in entry.facts.items() if value is not None}
        for row in mine:
            assert {key: float(row[key]) for key in FACTS if row[key]} == known
    assert rows[-1]["ssim"] == ""


def test_json_holds_everything_and_null_for_what_is_no_number() -> None:
    content = json.loads(json.dumps(TABLE.json_content(), allow_nan=False))
    assert (content["title"], content["notes"]) == (TABLE.title, TABLE.notes)
    for entry, found in zip(TABLE.entries, content["entries"], strict=True):
        assert found["name"] == entry.name
        assert found["facts"] == entry.facts
        assert list(found["measures"]) == list(entry.measures)
    good, wide = (found["measures"] for found in content["entries"][1:])
    assert good["psnr"]["values"] == [40.1, 40.2, 40.36]
    assert good["psnr"]["mean"] == pytest.approx(np.mean([40.1, 40.2, 40.36]), rel=1e-15)
    assert good["psnr"]["sd"] == pytest.approx(np.std([40.1, 40.2, 40.36], ddof=1), rel=1e-15)
    assert wide["sam"] == {"mean": None, "sd": None, "values": [None, 1.0]}


def test_numbers_of_the_terminal_stand_below_one_another() -> None:
    title, blank, *rows, note = TABLE.text()
    assert (title, blank, note) == (TABLE.title, "", "  peak² & 1 %")
    points = {row.index(".") for row in rows[1:]}
    assert len(points) == 1
    assert len({row.index("±") for row in rows[2:]}) == 1
    assert rows[0].index("↑") > rows[1].index("37.64")


def test_a_negative_number_has_the_sign_of_the_minus() -> None:
    table = Table("", [Entry("a", {"cc": [-0.25]}, {}), Entry("b", {"cc": [0.5]}, {})])
    assert r"\underline{$-$0.2500}" in table.latex()
    assert "−0.2500" in table.markdown()


def test_a_table_of_nothing_is_still_one() -> None:
    table = Table("nothing", [])
    assert table.text()[0] == "nothing"
    assert latex_rows(table.latex()) == [[""]]
    assert table.csv() == "name,seed\n"


def test_a_method_that_lacks_seeds_says_so_where_it_is_read() -> None:
    table = Table("", [BICUBIC, GOOD, WIDE], repeats=3)
    names = ["", BICUBIC.name, GOOD.name, f"{WIDE.name} (2 of 3 seeds)"]
    assert [row[0] for row in latex_rows(table.latex())] == names
    found = table.json_content()["entries"]
    assert [entry["name"] for entry in found] == [entry.name for entry in table.entries]
    assert [entry["seeds"] for entry in found] == [[], [0, 1, 2], [0, 2]]


def test_differences_have_a_sign_and_no_best() -> None:
    entries = [
        Entry("a", {"psnr": [0.2, 0.3], "sam": [-0.0001]}, {}),
        Entry("b", {"psnr": [-0.125], "sam": [0.5]}, {}),
    ]
    rows = latex_rows(Table("", entries, differences=True).latex())
    assert rows[1:] == [["a", "+0.25 ± 0.07", "+0.000"], ["b", "−0.12", "+0.500"]]
    assert "**" not in Table("", entries, differences=True).markdown()


def test_what_rounds_to_nothing_has_no_minus() -> None:
    assert "−" not in Table("", [Entry("a", {"cc": [-1e-9]}, {})]).markdown()


def test_several_tables_are_one_csv() -> None:
    other = Table("x8", [Entry("bicubic", {"psnr": [33.25], "uiqi": [0.5]}, {"steps": 7})])
    rows = list(csv.DictReader(io.StringIO(joined([TABLE, other]))))
    assert [row["table"] for row in rows] == [TABLE.title] * 6 + ["x8"]
    alone = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert [{key: row[key] for key in alone[0]} for row in rows[:6]] == alone
    assert (float(rows[6]["psnr"]), float(rows[6]["uiqi"]), rows[6]["steps"]) == (33.25, 0.5, "7")
    assert rows[6]["sam"] == rows[0]["uiqi"] == ""


def test_a_method_of_which_nothing_is_known_still_has_its_line() -> None:
    (row,) = csv.DictReader(io.StringIO(Table("", [Entry("failed", {"psnr": []}, {})]).csv()))
    assert row == {"name": "failed", "seed": "", "psnr": ""}
