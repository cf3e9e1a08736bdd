"""The two lines that a checkout's train.py needs: the import of our trainers and their configuration keys."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

MARK = "  # KDPL"
EXTEND = f"trainers.kdpl.config.extend_cfg({{cfg}}){MARK}"
IMPORTS, EXTENDS = r"import trainers\.kdpl\.config, .*", r"trainers\.kdpl\.config\.extend_cfg\(\w+\)"  # in any version
OUR_LINE = re.compile(rf"\r?\n[ \t]*(?:{IMPORTS}|{EXTENDS}){MARK}(?=\r?\n|\Z)".encode())


@dataclass(frozen=True)
class Edit:
    """A line that train.py lacks, or contains as an earlier version wrote it.

    Attributes:
        text: the line, without indentation.
        line: number, from 1, of the line that it follows or replaces; None if no place can be determined.
        replaces: whether it replaces that line.
    """

    text: str
    line: int | None
    replaces: bool = False

    def __str__(self) -> str:
        if self.line is None:
            place = "among the imports" if self.text.startswith("import") else "after cfg is extended"
        else:
            place = f"{'in place of' if self.replaces else 'after'} line {self.line}"
        return f"  {place}:  {self.text}"


def import_line(files: Iterable[str]) -> str:
    """The first of the two lines, which imports every trainer among the installed files."""
    modules = ["trainers.kdpl.config"]
    modules += [f"trainers.{PurePath(name).stem}" for name in files if PurePath(name).match("trainers/*_kdpl.py")]
    return f"import {', '.join(modules)}{MARK}"


def needed_edits(source: bytes, files: Iterable[str]) -> list[Edit]:
    """The edits that train.py needs; none if it has both lines."""
    tree = ast.parse(source)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    of_trainers = [node.end_lineno for node in imports if "trainers" in ast.unparse(node)]
    calls = [node for node in ast.walk(tree) if _extends_cfg(node)]
    cfg = calls[0].value.args[0].id if calls else "cfg"
    wanted = [
        (import_line(files), IMPORTS, of_trainers[-1] if of_trainers else None),
        (EXTEND.format(cfg=cfg), EXTENDS, calls[0].end_lineno if calls else None),
    ]
    lines = [line.strip().decode() for line in source.splitlines()]
    edits = []
    for text, pattern, after in wanted:
        present = [number for number, line in enumerate(lines, 1) if re.fullmatch(pattern + MARK, line)]
        if not present:
            edits.append(Edit(text, after))
        elif lines[present[0] - 1] != text:
            edits.append(Edit(text, present[0], replaces=True))
    return edits


def _extends_cfg(node: ast.AST) -> bool:
    """Whether this is the statement ``extend_cfg(cfg)``, whatever the argument is called."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "extend_cfg"
        and len(node.value.args) == 1
        and isinstance(node.value.args[0], ast.Name)
    )


def edited(source: bytes, edits: list[Edit]) -> bytes:
    """The edited source; a new line gets the indentation and line ending of the one before it.

    Raises:
        ValueError: if the place of an edit could not be determined.
    """
    if any(edit.line is None for edit in edits):
        raise ValueError(
            "train.py is not like CoOp's: it has no `import trainers...` or no call `extend_cfg(cfg)`. Nothing was "
            "written. Run this without --apply and add the lines by hand: the first among the imports, the second "
            "after the configuration is extended and before any file is merged."
        )
    lines = source.splitlines(keepends=True)
    newline = b"\r\n" if b"\r\n" in source else b"\n"
    for edit in edits:
        anchor = lines[edit.line - 1]
        text = anchor.rstrip(b"\r\n")
        indent = text[: len(text) - len(text.lstrip())]
        kept = b"" if edit.replaces else text + newline
        lines[edit.line - 1] = kept + indent + edit.text.encode() + anchor[len(text) :]
    return b"".join(lines)


def without_our_lines(source: bytes) -> bytes:
    """The source as it was before any version was installed."""
    return OUR_LINE.sub(b"", source)
