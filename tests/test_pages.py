"""The base template shared by all HTML pages."""

import re

from kdpl.pages import render


def test_a_page_carries_its_style_escapes_its_values_and_loads_nothing(tmp_path):
    template = tmp_path / "birds.html.j2"
    template.write_text('{% extends "base.html.j2" %}{% block content %}<p>{{ name }}</p>{% endblock %}')
    html = render(template, "Tom & Jerry", name="<b>wren</b>", date="2026-01-31")
    assert "<title>Tom &amp; Jerry</title>" in html and "<h1>Tom &amp; Jerry</h1>" in html
    assert "<p>&lt;b&gt;wren&lt;/b&gt;</p>" in html and "on 2026-01-31" in html
    assert "--ground: light-dark(" in html and "aria-sort" in html
    assert not re.search(r"""(src|href)=|url\(|@import|<link""", html)
