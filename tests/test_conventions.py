"""What a repository is expected to have, checked against the code it describes."""

import re

import yaml

from kdpl.versions import __version__

from .conftest import ROOT


def test_the_workflow_covers_the_promised_versions_and_systems():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    project = (ROOT / "pyproject.toml").read_text()
    pythons = jobs["tests"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.10", "3.11", "3.12", "3.13"] and f'requires-python = ">={pythons[0]}"' in project
    oldest = re.search(r'"torch>=([\d.]+),', project)[1]
    assert any(f'"torch=={oldest}.*"' in step.get("run", "") for step in jobs["tests"]["steps"])
    assert jobs["library"]["strategy"]["matrix"]["os"] == ["macos-latest", "windows-latest"]
    assert any("pip wheel" in step.get("run", "") for step in jobs["wheel"]["steps"])


def test_ruff_is_the_same_in_the_tests_the_workflow_and_before_a_commit():
    bounds = re.search(r"^ruff(.*)$", (ROOT / "requirements-dev.txt").read_text(), re.M)[1]
    for file in (".github/workflows/tests.yml", ".pre-commit-config.yaml"):
        assert set(re.findall(r'"ruff(>=[^"]*)"', (ROOT / file).read_text())) == {bounds}, file


def test_issue_templates_ask_for_the_doctor():
    for file in ("bug.yml", "numbers.yml"):
        form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / file).read_text())
        fields = {part["id"]: part for part in form["body"]}
        assert "python -m tools.doctor" in fields["doctor"]["attributes"]["label"]
        assert fields["doctor"]["validations"]["required"]


def test_the_version_is_semantic_and_the_same_everywhere():
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    headings = re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "Unreleased" and headings[1] == __version__
