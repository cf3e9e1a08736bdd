"""Safe readers for files given by users: only regular files, of limited size, in UTF-8 and of the expected form.

Their errors name the file and, for text, the line. Nothing that is read is ever executed. Checkpoints are checked here
and then read by :mod:`kdpl.prompts.inert_files`.
"""

import codecs
import copy
import csv
import errno
import functools
import io
import json
import os
import re
import stat
import struct
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_BYTES = 2**28  # in a text file; ImageNet's split has a third of that
MOST_CONFIGURATION_BYTES = 2**18
MOST_DEPTH, MOST_NODES = 50, 100_000  # in YAML, with aliases expanded
NOT_AS_WRITTEN = re.compile(r".*:|[+-]?0[0-9_]+$")  # numbers that YAML reads in another base: 1:30 is 90, 010 is 8
MOST_CELL = 2**20  # characters in a CSV cell
MOST_GROWTH = 8  # unpacked size of an archive, relative to its own
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: str | os.PathLike, what: str = "file", most: int | None = None) -> None:
    """Refuse anything but a regular file, because reading a pipe or a device may never end.

    Args:
        what: what the file should be, for the message.
        most: maximum size in bytes.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: if it is something else, or too large.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        if os.path.islink(path):
            raise FileNotFoundError(f"{path} is a broken link; {_with_article(what)} is needed.") from error
        raise FileNotFoundError(f"{path} does not exist; {_with_article(what)} is needed.") from error
    except NotADirectoryError as error:
        raise FileNotFoundError(f"{path} does not exist: a part of this path is a file, not a folder.") from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ValueError(f"{path} is a circular link; {_with_article(what)} is needed.") from error
    if kind := _kind_of(status):
        raise ValueError(f"{path} is {kind}; {_with_article(what)} is needed.")
    if most is not None and status.st_size > most:
        raise ValueError(f"{path} has {status.st_size:,} bytes; {_with_article(what)} may have at most {most:,}.")


def fault_of_kind(path: str | os.PathLike) -> str:
    """Why a path is not a regular file, in a few words; empty if it is one."""
    try:
        return _kind_of(os.stat(path))
    except FileNotFoundError:
        return "a broken link" if os.path.islink(path) else "missing"
    except OSError as error:
        return "a circular link" if error.errno == errno.ELOOP else os.strerror(error.errno)


def _kind_of(status: os.stat_result) -> str:
    """What kind of file it is; empty for a regular file."""
    kind = stat.S_IFMT(status.st_mode)
    return "" if kind == stat.S_IFREG else KINDS.get(kind, "not a regular file")


def _with_article(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"


def read_bytes(path: str | os.PathLike, what: str = "file", most: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file; see :func:`check_file`."""
    check_file(path, what, most)
    with open(path, "rb") as file:
        return file.read(most)


def check_tensors_file(path: str | os.PathLike, what: str) -> None:
    """Refuse a ``torch.save`` or TorchScript file that would make torch unpack a tar archive, or fill the memory.

    Raises:
        FileNotFoundError, ValueError: as :func:`check_file`.
    """
    check_file(path, what)
    try:
        with open(path, "rb") as file:
            start = file.read(512)
        if start and not any(start):
            raise ValueError(f"{path} is not a {what}: it begins with zeros, as after an interrupted write.")
        if tarfile.is_tarfile(path):  # torch would unpack it and open its members, such as a pipe
            raise ValueError(f"{path} is a tar archive; a {what} is needed.")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(member.file_size for member in archive.infolist())
            if size > MOST_GROWTH * os.path.getsize(path) + 2**24:
                raise ValueError(f"{path} is refused: it would unpack to {size:,} bytes.")
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, UnicodeError, struct.error) as error:
        raise ValueError(f"{path} is not a {what}, or is damaged ({error}).") from error


def read_text(path: str | os.PathLike, what: str = "text file", most: int = MOST_BYTES) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Raises:
        ValueError: as :func:`check_file`, or if it is in another encoding.
    """
    return decoded(read_bytes(path, what, most), path)


def decoded(content: bytes, path: str | os.PathLike) -> str:
    """Decode the bytes of a file, as :func:`read_text` does."""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{path} is not UTF-8 text: line {line} has an {error.reason}. Save it as UTF-8.") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{path}, line {line}: it contains a zero byte, so this is not a text file.")
    return text


def read_lines(path: str | os.PathLike, what: str = "text file") -> list[str]:
    """The non-empty lines of a file, without surrounding spaces."""
    return [line.strip() for line in read_text(path, what).splitlines() if line.strip()]


def read_json(path: str | os.PathLike, what: str = "JSON file", most: int = MOST_BYTES) -> Any:
    """The content of a JSON file; see :func:`parse_json`."""
    return parse_json(read_text(path, what, most), path)


def parse_json(text: str, where: str | os.PathLike) -> Any:
    """Parse JSON strictly: NaN, Infinity and duplicate keys are errors.

    Args:
        where: the file, for messages.

    Raises:
        ValueError: naming the line.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise ValueError(f"{where} is empty.") from error
        page = " It is a web page, probably a login or an error page." if text.lstrip()[:1] == "<" else ""
        cut = "" if page or text.rstrip()[-1:] in ("}", "]") else f" It is cut off after {len(text):,} characters."
        raise ValueError(f"{where}, line {error.lineno}: this is not valid JSON ({error.msg}).{page}{cut}") from error
    except RecursionError as error:
        raise ValueError(f"{where}: brackets are nested too deeply.") from error
    except ValueError as error:
        reason = "it contains a number with thousands of digits" if "int_max_str_digits" in str(error) else error
        raise ValueError(f"{where}: {reason}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"this is not valid JSON: it contains {name}")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {name!r} occurs more than once")
    return content


def csv_rows(text: str, where: str | os.PathLike, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the non-empty rows of a CSV, each with the line number on which it ends.

    Raises:
        ValueError: if a quote is not closed, a cell is too long, or the rows differ in their number of cells.
    """
    csv.field_size_limit(MOST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    n_cells = None
    try:
        for row in reader:
            if not any(map(str.strip, row)):
                continue
            n_cells = n_cells or len(row)
            if len(row) != n_cells:
                raise ValueError(
                    f"{where}, line {reader.line_num}: {len(row)} cells, but the lines above have {n_cells}. A cell "
                    f"that contains {delimiter!r} must be quoted."
                )
            yield reader.line_num, row
    except csv.Error as error:
        problem = "a quote is not closed" if "end of data" in str(error) else str(error)
        raise ValueError(f"{where}, line {reader.line_num}: {problem}.") from error


def read_yaml(path: str | os.PathLike, what: str = "YAML file of settings") -> dict[str, Any]:
    """Keys and plain values of a YAML file; refuses duplicate keys, merge keys, tags and runaway aliases.

    Raises:
        FileNotFoundError, ValueError: as :func:`check_file`, or if its content is something else.
    """
    if Path(path).suffix.lower() not in (".yaml", ".yml", ".json"):
        raise ValueError(f"{path} is not a {what}: its name must end in .yaml. Code is never read from here.")
    return copy.deepcopy(_settings_in(read_text(path, what, MOST_CONFIGURATION_BYTES), str(path), what))


@functools.lru_cache(maxsize=512)  # a sweep reads the same files for every run
def _settings_in(text: str, path: str, what: str) -> dict[str, Any]:
    import yaml  # not needed to train and predict with the library

    content, loader = {}, None
    try:
        loader = yaml.SafeLoader(text)  # the loader in C overflows its stack where this one raises RecursionError
        node = loader.get_single_node()
        if problem := node and _problem_of(node):
            raise yaml.MarkedYAMLError(None, None, problem[1], problem[0].start_mark)
        content = loader.construct_document(node) if node else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{path}{line}: this is not a {what} ({error.problem or error.context}).") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: this is not a {what} ({' '.join(str(error).split())}).") from error
    except RecursionError as error:
        raise ValueError(f"{path}: nested too deeply.") from error
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:  # an invalid date or number
        raise ValueError(f"{path}: this is not a {what} ({error}).") from error
    finally:
        if loader:
            loader.dispose()
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a {what}: it has a {type(content).__name__} instead of `key: value` lines.")
    return content


def _problem_of(root: Any) -> tuple[Any, str] | None:
    """A YAML node that settings must not have, and why; a node counts once for each alias that repeats it."""
    sizes: dict[int, int] = {}

    def look(node: Any, above: tuple[int, ...]) -> tuple[Any, str] | None:
        if id(node) in above:
            return node, "an alias (*) refers to itself"
        if len(above) > MOST_DEPTH:
            return node, "nested too deeply"
        if id(node) in sizes:
            return None
        if node.id == "scalar" and node.tag.endswith((":int", ":float")) and NOT_AS_WRITTEN.match(node.value):
            return node, f"{node.value} would be read in base 60 or 8; write a plain number, or quote it"
        children = node.value if isinstance(node.value, list) else []
        if node.id == "mapping":
            if problem := _problem_of_keys([key for key, _ in node.value]):
                return problem
            children = [value for _, value in node.value]
        for child in children:
            if problem := look(child, (*above, id(node))):
                return problem
        sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children)
        return (node, f"its aliases (*) expand to over {MOST_NODES:,} values") if sizes[id(node)] > MOST_NODES else None

    return look(root, ())


def _problem_of_keys(keys: list[Any]) -> tuple[Any, str] | None:
    for key in keys:
        if not key.tag.endswith(":str"):
            merges = key.tag.endswith(":merge")
            return key, "merge keys (<<) are not supported" if merges else "a key is not text; put it in quotes"
    counts = Counter(key.value for key in keys)
    return next(((key, f"the key {key.value!r} occurs twice") for key in keys if counts[key.value] > 1), None)
