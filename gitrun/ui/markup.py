"""Tables in the markup of documents: Markdown, and LaTeX with the lines of booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from gitrun.ui.table import columns
from gitrun.ui.terminal import Screen

_LATEX = {
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
_MARKDOWN = {sign: "\\" + sign for sign in "\\|*_`<>["}


def print_markdown(screen: Screen, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as GitHub and its like read it, columns in line for those who read the source."""
    lines = [["".join(_MARKDOWN.get(sign, sign) for sign in cell) for cell in row] for row in [header, *rows]]
    widths = [max(3, *(columns(cell) for cell in column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        cells = [cell + " " * (width - columns(cell)) for cell, width in zip(line, widths, strict=True)]
        screen.line(f"| {' | '.join(cells)} |")


def print_latex(screen: Screen, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a tabular; it needs `\\usepackage{booktabs}`."""
    lines = [
        " & ".join("".join(_LATEX.get(sign, sign) for sign in cell) for cell in row) + r" \\" for row in [header, *rows]
    ]
    screen.line(rf"\begin{{tabular}}{{{'l' * len(header)}}}")
    for line in (r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"):
        screen.line(line)
