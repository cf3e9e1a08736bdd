"""The formats of tables, and the command that writes them."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.tables.__main__ import main
from tools.tables.formats import latex, markdown, terminal
from tools.tables.page import headline, page

from .conftest import ROOT
from .result_files import tables_of, write_base_to_new, write_record


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in (1, 2):
        write_base_to_new(tmp_path / f"coop{seed}", "CoOp", seed, base=900 + seed, new=600)
        write_base_to_new(tmp_path / f"kdpl{seed}", "CoOp_KDPL", seed, base=850, new=650 + seed)
    write_record(
        tmp_path / "other", seed=1, backbone=r"odd_name&50%$#{}~^\ <b>|x|*", scores={("Shapes", "all"): (500, 1000)}
    )
    return tmp_path


def test_the_command_prints_tables_and_writes_the_other_formats(folder, capsys):
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "Base to new: Shapes, 16 shots" in out and "harmonic mean" in out
    names = {path.name for path in (folder / "tables").iterdir()}
    assert names == {"tables.md", "tables.tex", "tables.csv", "tables.html"}


def test_one_format_is_printed_alone(folder, capsys):
    assert main([str(folder), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["column"] for row in rows} >= {"base", "new", "harmonic mean"}
    assert not (folder / "tables").exists()


def test_all_formats_show_the_same_numbers(folder):
    tables = tables_of(folder)
    texts = [render(tables) for render in (terminal, markdown, latex, page)]
    numbers = {f"{one.sample.mean:.2f}" for table in tables for cells in table.cells for one in cells if one.sample}
    assert "90.15" in numbers and "65.15" in numbers
    assert all(number in text for number in numbers for text in texts)


def test_the_page_is_self_contained(folder):
    html = page(tables_of(folder))
    assert html.count("<svg") >= 1 and "<link" not in html
    assert not re.search(r"""(src|href)=(?!["']?(#|data:))|url\((?!#)|@import""", html)
    assert "<b>" not in html and "&lt;b&gt;" in html
    assert "odd_name&amp;50%" in html


def test_the_page_begins_with_the_main_result(folder):
    write_record(folder / "zs", "ZeroshotCLIP", subsample="base", scores={("Shapes", "base"): (400, 1000)})
    write_record(folder / "zs2", "ZeroshotCLIP", subsample="new", scores={("Shapes", "new"): (400, 1000)})
    tables = tables_of(folder)
    (mean,) = {f"{2 * 85 * 65.15 / (85 + 65.15):.1f}"}  # of CoOp + KDPL, about: CoOp has 90 and 60
    assert headline(tables).replace("\N{NO-BREAK SPACE}", " ") == (
        f"CoOp + KDPL is best: harmonic mean {mean} % with demo:student, {float(mean) - 40:.1f} points above zero-shot "
        "CLIP (base to new: Shapes, 16 shots)."
    )
    html = page(tables)
    headings = re.findall(r'<th scope="col">(.*?)</th>', html)
    assert headings[:3] == ["harmonic mean", "base", "new"]  # the first is what a phone shows
    assert 'title="seed 1: 65.10 %, seed 2: 65.20 %"' in html


def test_the_page_has_the_other_formats_to_download_and_links_to_its_runs(folder):
    assert main([str(folder)]) == 0
    html = (folder / "tables" / "tables.html").read_text()
    content = {
        name: base64.b64decode(text).decode()
        for name, text in re.findall(r'download="([\w.]+)" href="data:text/plain;base64,([^"]*)"', html)
    }
    assert content == {name: (folder / "tables" / name).read_text() for name in ("tables.csv", "tables.tex")}
    links = re.findall(r'<a href="(\.\./[^"]*results.json)"', html)
    assert len(links) == 9 and all((folder / "tables" / link).is_file() for link in links)


def test_a_single_point_gives_no_plot(tmp_path):
    write_base_to_new(tmp_path, "CoOp_KDPL", 1, base=900, new=600)
    assert "<svg" not in page(tables_of(tmp_path)) and "Plots" not in page(tables_of(tmp_path))


def test_the_latex_document_compiles(folder, tmp_path):
    (tmp_path / "tables.tex").write_text(latex(tables_of(folder)), encoding="utf-8")
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("needs pdflatex (Debian: texlive-latex-base, texlive-latex-recommended)")
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 1000 and "Overfull" not in done.stdout


def test_latex_rows_have_as_many_cells_as_columns_and_braces_close(folder):
    document = latex(tables_of(folder))
    unescaped = re.sub(r"\\[{}&%$#_]", "", document)
    assert unescaped.count("{") == unescaped.count("}")
    for tabular in re.findall(r"\\begin\{tabular\}\{(l+r+)\}(.*?)\\end\{tabular\}", unescaped, re.DOTALL):
        rows = [line for line in tabular[1].splitlines() if line.endswith(r"\\")]
        assert rows and all(line.count("&") == len(tabular[0]) - 1 for line in rows)


def test_no_records_is_an_error_that_says_where_and_what_to_run(tmp_path):
    command = [sys.executable, "-m", "tools.tables", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert str(tmp_path) in done.stderr and "bash scripts/kdpl/base2new.sh shapes 1" in done.stderr


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    assert main([str(tmp_path / "absent")]) == 2
    assert str(tmp_path / "absent") in capsys.readouterr().err


def test_what_cannot_be_read_is_named_and_the_rest_shown(folder, capsys):
    broken = {"cut": '{"format": 1', "other": "[]", "running": json.dumps({"format": 1, "status": "running"})}
    for name, text in broken.items():
        (folder / f"x{name}").mkdir()
        (folder / f"x{name}" / "results.json").write_text(text)
    assert main([str(folder), "--format", "csv"]) == 0
    error = capsys.readouterr().err
    assert all(str(folder / f"x{name}" / "results.json") in error for name in broken)


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "python -m tools.tables --format latex > tables.tex" in capsys.readouterr().out
