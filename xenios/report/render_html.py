"""Renders the report as one page that can be mailed: no script is needed, and nothing is loaded from anywhere.

Foreign text is made harmless twice, in one place each. Whatever a template prints goes through `shown()` by the
environment's `finalize`, so that no template can forget it, and then through autoescape. The page's policy allows our
one style sheet and one script by their hashes and nothing else, so that even markup that slipped in could do nothing.

Effects: none
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xenios.report.html_view import views_of
from xenios.report.render_explanation import reason_line
from xenios.report.schema import Report
from xenios.report.words import NOT_TOLD, bytes_text, duration_text, number_text, plural, shown, time_text

FAILURES_SHOWN_MAX = 12
"""More are there too, but folded away."""

NAME_LENGTH_MAX = 100
"""A longer name is cut in the table of VMs, whose rows stay short; its details have all of it."""


def render_html(report: Report) -> str:
    """The report as one self-contained HTML page."""
    style, script = _asset("style.css"), _asset("script.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            targets=views_of(report),
            # Our own files, not foreign text; the hashes hold only if they are printed as they are.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            policy=policy,
            failures_shown_max=FAILURES_SHOWN_MAX,
        )
    )


@cache
def environment() -> Environment:
    """Templates of this package; what they print is made harmless by it, and not by them."""
    made = Environment(
        loader=PackageLoader("xenios", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters.update(size=bytes_text, time=time_text, duration=duration_text, number=number_text, cut=_cut)
    made.filters.update(reason=reason_line)
    made.globals.update(plural=plural)
    return made


def _cut(text: str) -> str:
    """A name as tables of many rows give it; the details have all of it."""
    return text if len(text) <= NAME_LENGTH_MAX else f"{text[:NAME_LENGTH_MAX]}…"


def _printed(value: object) -> object:
    """What is printed for a value of a template: markup of ours as it is, everything else plainly visible."""
    if isinstance(value, Markup):
        return value
    return NOT_TOLD if value is None else shown(str(value))


@cache
def _asset(name: str) -> str:
    return files("xenios.report").joinpath("html", name).read_text("utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode("ascii")
