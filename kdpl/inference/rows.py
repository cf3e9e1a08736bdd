"""Predictions as a table with one row per image: CSV, JSON or Parquet."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ..atomic_files import atomic_path, check_place
from ..extras import need

SUFFIXES = (".csv", ".json", ".parquet")
ROW_GROUP = 10_000  # rows written to a Parquet file at once


class Row(NamedTuple):
    """The prediction for one image."""

    name: str
    top: list[tuple[int, float]]  # class indices and probabilities (six decimals), most likely first; empty: unreadable
    error: str | None = None


def check_table(path: Path | None) -> None:
    """Refuse a table that could not be written, before anything slow starts.

    Raises:
        ValueError: if the file extension is unknown, or Parquet is not installed.
    """
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--output is {path}; its name must end in one of {', '.join(SUFFIXES)}.")
    if path.suffix.lower() == ".parquet":
        need("pyarrow.parquet", "reports", "A Parquet file")
    check_place(path)


def write_table(path: Path, rows: Iterable[Row], classnames: Sequence[str], top: int) -> None:
    """Write a table, atomically and row by row, so that memory use does not grow with the number of rows."""
    write = {".csv": _write_csv, ".json": _write_json, ".parquet": _write_parquet}[path.suffix.lower()]
    records = (_record(row, classnames, top) for row in rows)
    columns = {"path": str} | dict(_rank_columns(top)) | {"error": str}
    with atomic_path(path) as temporary:
        write(temporary, records, columns)


def _rank_columns(top: int) -> Iterator[tuple[str, type]]:
    for rank in range(1, top + 1):
        yield f"class_{rank}", str
        yield f"probability_{rank}", float


def _record(row: Row, classnames: Sequence[str], top: int) -> dict[str, Any]:
    ranks = [*row.top, *[(None, None)] * (top - len(row.top))]
    record: dict[str, Any] = {"path": row.name}
    for rank, (index, probability) in enumerate(ranks, start=1):
        record[f"class_{rank}"] = None if index is None else classnames[index]
        record[f"probability_{rank}"] = probability
    return record | {"error": row.error}


def _write_csv(path: Path, records: Iterable[dict[str, Any]], columns: dict[str, type]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        for record in records:
            writer.writerow(f"{value:.6f}" if isinstance(value, float) else value for value in record.values())


def _write_json(path: Path, records: Iterable[dict[str, Any]], columns: dict[str, type]) -> None:
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as stream:
        _write_list(stream, records)


def _write_list(stream: TextIO, records: Iterable[dict[str, Any]]) -> None:
    separator = "[\n"
    for record in records:
        stream.write(separator + json.dumps(record, ensure_ascii=False))
        separator = ",\n"
    stream.write("[]\n" if separator == "[\n" else "\n]\n")


def _write_parquet(path: Path, records: Iterable[dict[str, Any]], columns: dict[str, type]) -> None:
    arrow, parquet = (need(name, "reports", "A Parquet file") for name in ("pyarrow", "pyarrow.parquet"))
    kinds = {str: arrow.string(), float: arrow.float64()}
    schema = arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    records = iter(records)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(records, ROW_GROUP)):
            writer.write_table(arrow.Table.from_pylist(group, schema))
