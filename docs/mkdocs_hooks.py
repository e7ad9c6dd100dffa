"""What MkDocs needs beside the pages of this folder.

The README, the changelog and others stand at the top of the repository, where people look for them.
They become pages of the site as well. Links between them and the pages of this folder work in both
places. The reference of the command line is what `--help` prints.
"""

from __future__ import annotations

import inspect
import os
import posixpath
import re
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

# Files outside of this folder: where each stands on the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "sample_data.md",
}
ASSETS = ("data/sample.png", "notebooks/01_quickstart.ipynb", "notebooks/05_backends.ipynb")
PLACES = {**PAGES, **{path: path for path in ASSETS}}

_LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)]*)?(\))")
_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)
_HELP = re.compile(r"^<!-- help: ([\w-]*) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and pictures that stand outside of the folder of documents."""
    for path, place in PLACES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page with its links as the site has them, and with what `--help` prints."""
    place = page.file.src_uri
    source = next((path for path, p in PAGES.items() if p == place), f"docs/{place}")
    markdown = _LINK.sub(lambda match: _link(match, source, place), markdown)
    return _HELP.sub(lambda match: f"```text\n{_help(match.group(1))}```", markdown)


def _link(match: re.Match, source: str, place: str) -> str:
    """A link of the file `source`, as it has to be on the page `place`."""
    before, path, anchor, after = match.groups()
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    target = PLACES.get(target, target.removeprefix("docs/"))
    relative = posixpath.relpath(target, posixpath.dirname(place) or ".")
    return f"{before}{relative}{anchor or ''}{after}"


def _help(command: str) -> str:
    """What `keras-mm COMMAND --help` prints, 96 columns wide."""
    from keras_mm.cli.arguments import create_parser

    os.environ["COLUMNS"] = "96"
    parser = create_parser()
    if not command:
        return parser.format_help()
    (commands,) = (a for a in parser._actions if a.dest == "command")
    return commands.choices[command].format_help()


class Docstrings(griffe.Extension):
    """Reads docstrings as they are when the package runs; examples are code."""

    def on_class(self, *, cls: griffe.Class, **_) -> None:
        """Takes docstring and signature of classes whose decorators complete them, as settings."""
        names = ("documented", "with_arguments")
        if not any(str(d.value).startswith(names) for d in cls.decorators):
            return
        kind = griffe.dynamic_import(cls.path)
        if cls.docstring:
            cls.docstring.value = inspect.cleandoc(kind.__doc__)
        parameters = griffe.Parameters(*map(_parameter, _parameters_of(kind)))
        cls.set_member("__init__", griffe.Function("__init__", parameters=parameters))

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Names the section `Example` as the parser of docstrings knows it."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)


def _parameters_of(kind: type) -> list[inspect.Parameter]:
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = [own, *inspect.signature(kind).parameters.values()]
    if "**knobs:" in (kind.__doc__ or ""):  # described beside what they are
        found.append(inspect.Parameter("knobs", inspect.Parameter.VAR_KEYWORD, annotation="Any"))
    return found


def _parameter(parameter: inspect.Parameter) -> griffe.Parameter:
    empty = inspect.Parameter.empty
    return griffe.Parameter(
        parameter.name,
        annotation=None if parameter.annotation is empty else str(parameter.annotation),
        kind=griffe.ParameterKind(parameter.kind.description),
        default=None if parameter.default is empty else repr(parameter.default),
    )
