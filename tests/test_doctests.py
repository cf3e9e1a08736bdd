"""The examples in the docstrings of kdpl, run on the demo pair."""

import doctest
import importlib
import pkgutil

import pytest

import kdpl

MODULES = [name for _, name, _ in pkgutil.walk_packages(kdpl.__path__, "kdpl.") if not name.endswith("__main__")]


@pytest.mark.parametrize("name", ["kdpl", *MODULES])
def test_the_examples_of_a_module_run_as_printed(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def test_the_public_functions_and_classes_have_examples():
    finder = doctest.DocTestFinder()
    for name in kdpl.__all__:
        item = getattr(kdpl, name)
        assert not callable(item) or any(test.examples for test in finder.find(item)), name
