"""Tables as text, as Markdown and as LaTeX: the same numbers in the same places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """What a table shows at one place."""

    number: str
    spread: str = ""
    rank: int | None = None
    """0 the best of its column, 1 the second."""


@dataclass(frozen=True)
class Column:
    """A heading, and what stands below it."""

    heading: str
    cells: Sequence[Cell]


def text(
    title: str, names: Sequence[str], columns: Sequence[Column], notes: Sequence[str]
) -> list[str]:
    """Lines for the terminal; numbers stand below one another."""
    names = ["", *names]
    width = max(map(len, names))
    rows = zip([name.ljust(width) for name in names], *map(_aligned, columns), strict=True)
    lines = ["  ".join(row).rstrip() for row in rows]
    return [title, "", *lines, *(f"  {note}" for note in notes)]


def _aligned(column: Column) -> list[str]:
    """Numbers below one another, whether or not a deviation follows."""
    wide = max((len(cell.number) for cell in column.cells), default=0)
    spread = max((len(cell.spread) for cell in column.cells), default=0)
    cells = [f"{cell.number:>{wide}}{cell.spread:<{spread}}" for cell in column.cells]
    width = max(wide + spread, len(column.heading))
    return [line.rjust(width) for line in (column.heading, *cells)]


def markdown(
    title: str, names: Sequence[str], columns: Sequence[Column], notes: Sequence[str]
) -> str:
    """A table of GitHub's Markdown, the best of each column in bold."""
    cells = [
        [_markdown(column.heading), "---:", *map(_in_markdown, column.cells)] for column in columns
    ]
    rows = zip(["", "---", *map(_markdown, names)], *cells, strict=True)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    listed = [f"- {_markdown(note)}" for note in notes]
    return "\n".join([_markdown(title), "", *lines, "", *listed]).rstrip() + "\n"


def latex(title: str, names: Sequence[str], columns: Sequence[Column], notes: Sequence[str]) -> str:
    """A `table` for the package booktabs, the best of each column bold, the second underlined."""
    cells = [[_latex(column.heading), *map(_in_latex, column.cells)] for column in columns]
    rows = zip(["", *map(_latex, names)], *cells, strict=True)
    heading, *body = (rf"{' & '.join(row)} \\" for row in rows)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(title)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        *(r"\toprule", heading, r"\midrule", *body, r"\bottomrule"),
        r"\end{tabular}",
        *(rf"\par\footnotesize {_latex(note)}" for note in notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


_IN_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in r"\|*_`<[]~"} | {"\n": " "})
_IN_LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": "$<$", ">": "$>$", "|": "$|$", '"': r"\textquotedbl{}", "\n": " "}
    | {"±": r"$\pm$", "−": "$-$", "×": r"$\times$", "°": r"$^\circ$", "²": "$^2$", "–": "--"}
    # at the beginning of a line these would belong to the end of the line above
    | {"[": "{[}", "*": "{*}"}
    | {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "·": r"$\cdot$", "‖": r"$\|$", "σ": r"$\sigma$"}
)
_RANKED: dict[int | None, str] = {0: r"\textbf{%s}", 1: r"\underline{%s}"}


def _markdown(text: str) -> str:
    return text.translate(_IN_MARKDOWN)


def _latex(text: str) -> str:
    return text.translate(_IN_LATEX)


def _in_markdown(cell: Cell) -> str:
    return (f"**{cell.number}**" if cell.rank == 0 else cell.number) + cell.spread


def _in_latex(cell: Cell) -> str:
    return _RANKED.get(cell.rank, "%s") % _latex(cell.number) + _latex(cell.spread)
