"""Spelling and grammar of pages, notebooks, docstrings, comments and messages.

Exits with 1 on findings. codespell reads the files as they are. Harper, a grammar checker that
works offline, reads Markdown: pages as they are, notebooks' texts, and of Python files the
docstrings, the comments and the strings of four words and more.
"""

import ast
import io
import json
import re
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path

FILES = (
    "*.md",
    "data/*.md",
    "docs/**/*.md",
    "docs/*.py",
    "keras_mm/**/*.py",
    "benchmarks/*.py",
    "notebooks/*.ipynb",
    ".ci/*.py",
)

# Rules of Harper that do not fit here, each with what it objects to.
IGNORED = {
    "SpellCheck": "names; spelling is codespell's task",
    "SplitWords": "`preset`, `joblib`",
    "CompoundNouns": "`data set`, `log file`",
    "MergeWords": "names in lower case",
    "Overall": "`over all rows`",
    "MassNouns": "`a training`, `trainings`",
    "UseTitleCase": "headings are sentences",
    "SentenceCapitalization": "cells of tables, names of variables",
    "OrthographicConsistency": "names and words",
    "OxfordComma": "both are in use",
    "LongSentences": "counts code and lists",
    "Spaces": "code between words",
    "Dashes": "ranges in code",
    "NumericRangeEnDash": "ranges in code",
    "UseEllipsisCharacter": "`...` in code",
    "NoFrenchSpaces": "aligned comments",
    "UnclosedQuotes": "takes the quotes of code and examples apart",
    "QuoteSpacing": "takes the quotes of code and examples apart",
    "WrongApostrophe": "takes the quotes of code and examples apart",
    "ExpandArgument": "`Args:`",
    "ExpandMinimum": "`min`, a mode",
    "ThatThan": "`no other file that`",
    "ExpandParameter": "names",
    "ExpandDirectory": "names",
    "ExpandConfiguration": "names",
    "ExpandMemoryShorthands": "`MB`, `GB`",
    "ExpandTimeShorthands": "`ms`, `s`",
    "ExpandStandardInputAndOutput": "`stderr`",
    "QuantifierNumeralConflict": "`some 400 bytes`",
    "PhrasalVerbAsCompoundNoun": "`the setup`, `an add-on`",
    "PronounInflectionBe": "code within messages",
    "TheirToTheyre": "code within messages",
    "WrongNegative": "`no`, a class of labels",
    "MissingPreposition": "lists",
    "CapitalizePersonalPronouns": "`i`, an index",
    "PronounVerbAgreement": "`i`, an index",
    "SingleBe": "`the winner's is`",
    "OneOfTheSingular": "`the last one of the part`",
    "NounVerbConfusion": "`to weight`, `a weight`",
    "MissingTo": "`scikit-learn`",
    "ItsContraction": "`its` before a code word",
    "CommaFixes": "columns in commands",
    "APart": "`how far a part`",
    "PronounKnew": "`what new heads`",
    "ToTwoToo": "`up to there`",
    "RegularIrregulars": "`strided`",
    "DisjointPrefixes": "`non-zero`",
}

Line = tuple[int, str]  # its number in the file, and its text; an empty text ends a paragraph


def main() -> int:
    """Runs both tools over all that `FILES` names."""
    files = sorted({file for pattern in FILES for file in Path().glob(pattern)})
    found = run(["codespell", *map(str, files)]).splitlines() + grammar(files)
    print("\n".join(found) or "prose is fine")
    return int(bool(found))


def run(command: list[str]) -> str:
    """The output of a command."""
    return subprocess.run(command, capture_output=True, text=True).stdout


def grammar(files: list[Path]) -> list[str]:
    """What Harper finds in the files' prose: a line for each finding."""
    prose = {f"{number}.md": (file, lines_of(file)) for number, file in enumerate(files)}
    command = ["harper", "lint", "--no-color", "--quiet", "--format", "json"]
    with tempfile.TemporaryDirectory() as folder:
        for name, (_, lines) in prose.items():
            Path(folder, name).write_text("\n".join(text for _, text in lines))
        pages = [str(Path(folder, name)) for name in prose]
        reports = json.loads(run([*command, "--ignore", ",".join(IGNORED), *pages]))
    found = []
    for report in reports:
        file, lines = prose[report["file"]]
        for lint in report["lints"]:
            number, what = lines[lint["line"] - 1][0], f"{lint['rule']}: {lint['message']}"
            found.append(f"{file}:{number}: {what} ({lint['matched_text']})")
    return sorted(found)


def lines_of(file: Path) -> list[Line]:
    """The prose of a file."""
    text = file.read_text()
    if file.suffix == ".py":
        return [*docstrings(text), *comments(text), *messages(text)] or [(1, "")]
    if file.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return list(enumerate(text.splitlines(), 1))


def is_docstring(node: ast.AST) -> bool:
    """Whether a node is a string that stands alone."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def docstrings(text: str) -> Iterator[Line]:
    """The lines of docstrings, without examples; each entry of a section is a paragraph."""
    lines = text.splitlines()
    for node in filter(is_docstring, ast.walk(ast.parse(text))):
        example = False
        for number in range(node.lineno, node.end_lineno + 1):
            line = lines[number - 1].strip().removeprefix('r"').strip('"')
            example = bool(line) and (example or line.startswith(">>>"))
            if re.match(r"\*{0,2}\w+(\[\w+\])?: |-", line) or not line:
                yield number, ""
            if not example:
                yield number, re.sub(r"^\*{0,2}\w+: ", "", line)
        yield number, ""


def comments(text: str) -> Iterator[Line]:
    """The comments; those of lines in a row are a paragraph, each behind code is one of its own."""
    before = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            number = token.start[0]
            if number != before + 1:
                yield number, ""
            yield number, token.string.lstrip("# ")
            before = number if token.line.lstrip().startswith("#") else -1
    yield before, ""


def messages(text: str) -> Iterator[Line]:
    """Strings of four words and more that are no docstrings; what is filled in stands as code."""
    waiting: list[ast.AST] = [ast.parse(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Constant | ast.JoinedStr):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            found = "".join(str(p.value) if isinstance(p, ast.Constant) else "`it`" for p in parts)
            if len(found.split()) >= 4 and "\n" not in found.strip():
                yield node.lineno, found.strip()
                yield node.lineno, ""
        elif not is_docstring(node):
            waiting.extend(ast.iter_child_nodes(node))


if __name__ == "__main__":
    sys.exit(main())
