"""Self-contained HTML pages that load nothing, follow the reader's light or dark mode, and share one style.

A page is a Jinja template that extends ``base.html.j2`` and fills its blocks ``header`` and ``content``:

    {% extends "base.html.j2" %}
    {% block header %}<p class="lead">{{ n_images }} images, sorted by confidence.</p>{% endblock %}
    {% block content %}<div class="photos">...</div>{% endblock %}

``style.css`` defines ``lead`` (the main result in one sentence), ``facts`` (a ``dl`` of ``div``), ``scroll`` (around a
wide table), ``plots`` and ``photos`` (grids of ``figure``), ``bar``, ``quiet``, ``good`` and ``bad``. A table of class
``sortable`` with one ``tbody`` per row sorts by column on a click.
"""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ..versions import __version__

FOLDER = Path(__file__).parent


def render(template: Path, title: str, filters: Mapping[str, Callable] | None = None, **values: Any) -> str:
    """Render a template with values, which are escaped.

    Args:
        template: a file that extends ``base.html.j2``; it may include files from its own folder.
        title: title and first heading of the page.
        filters: filters that the template uses besides Jinja's.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, FOLDER]), autoescape=True, undefined=StrictUndefined,
        keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(filters or {})
    values = {"kdpl_version": __version__, "date": date.today().isoformat()} | values
    return environment.get_template(template.name).render(title=title, **values)
