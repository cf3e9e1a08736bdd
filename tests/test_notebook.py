"""The notebook of examples/ runs from top to bottom, and learns as well as it says."""

import contextlib
import io
import json
import re

from tests.conftest import ROOT


def test_the_notebook_learns_predicts_explains_and_exports(monkeypatch):
    monkeypatch.chdir(ROOT / "examples")
    notebook = json.loads((ROOT / "examples" / "own_photos.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for cell in cells:
            exec(compile(cell, "own_photos.ipynb", "exec"), names)
    accuracy = names["accuracy"]
    assert accuracy["after"] > accuracy["before"] + 0.1, accuracy
    assert re.search(r"largest difference in logits \S+e-0[5-9] on 72 images", printed.getvalue())


def test_the_notebook_is_kept_with_its_outputs():
    notebook = json.loads((ROOT / "examples" / "own_photos.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] == i for i, cell in enumerate(code, start=1))
    assert not any(output["output_type"] == "error" for cell in code for output in cell["outputs"])
    assert "after" in json.dumps(code[3]["outputs"])
