"""What a browser gets: the search page, and the description of the API as a page. No file comes from elsewhere."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.responses import Response

FOLDER: Final = Path(__file__).parent

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""Scripts, styles and requests of this service only, nothing inline, and no text that becomes markup by accident."""

_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class File:
    """A file as it is answered."""

    body: bytes
    media: str

    @property
    def etag(self) -> str:
        """What it is known by."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    def response(self, if_none_match: str) -> Response:
        """The answer: empty, if the browser has it."""
        headers = {"content-security-policy": POLICY, "cache-control": "no-cache", "etag": self.etag}
        if if_none_match == self.etag:
            return Response(None, 304, headers=headers)
        return Response(self.body, 200, headers=headers, media_type=self.media)


def files(openapi: Callable[[], bytes]) -> Mapping[str, File]:
    """Every file by its path."""
    found = {
        f"/page/{path.name}": File(path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(FOLDER.iterdir())
        if path.suffix in _TYPES
    }
    body = openapi()
    return {
        **found,
        "/": found["/page/search.html"],
        "/docs": File(reference(msgspec.json.decode(body)).encode(), "text/html"),
        "/openapi.json": File(body, "application/json"),
    }


def reference(description: Mapping[str, Any]) -> str:
    """The description of the API as a page."""
    operations: dict[str, list[str]] = {}
    for path, methods in description["paths"].items():
        for method, one in methods.items():
            operations.setdefault(one["tags"][0], []).append(_operation(method, path, one))
    parts = [
        f"<section><h2 id='{_text(tag)}'>{_text(tag)}</h2>{''.join(ones)}</section>" for tag, ones in operations.items()
    ]
    schemas = "".join(_schema(name, one) for name, one in sorted(description["components"]["schemas"].items()))
    contents = " ".join(f"<a href='#{_text(tag)}'>{_text(tag)}</a>" for tag in [*operations, "types"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>docsearch API</title>
<link rel="icon" href="/page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page/style.css">
</head>
<body class="reference">
<header><a class="name" href="/">docsearch</a> <span>API {_text(description["info"]["version"])}</span>
<a href="/openapi.json">openapi.json</a></header>
<main>
<h1>API</h1>
<p>{_code(description["info"]["description"])}</p>
<nav aria-label="Contents">{contents}</nav>
{"".join(parts)}
<section><h2 id="types">types</h2>{schemas}</section>
</main>
</body>
</html>
"""


def _operation(method: str, path: str, one: Mapping[str, Any]) -> str:
    rows = [_row(its["name"], _where(its), _code(its.get("description", ""))) for its in one.get("parameters", ())]
    rows += [
        _row("body", media, f"{_kind(its['schema'])} {_code(its['schema'].get('description', ''))}")
        for media, its in one.get("requestBody", {}).get("content", {}).items()
    ]
    table = f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else ""
    answers = []
    for status, its in one["responses"].items():
        if "$ref" not in its:
            kinds = [_kind(content["schema"]) for content in its.get("content", {}).values()]
            answers.append(f"<b>{status}</b> {''.join(kinds) or _text(its['description'])}")
    errors = ", ".join(status for status, its in one["responses"].items() if "$ref" in its)
    scope = f"<span class='scope'>{_text(one['x-scope'])}</span>" if "x-scope" in one else ""
    return (
        f"<article><h3 id='{_text(one['operationId'])}'><span class='method {method}'>{method.upper()}</span> "
        f"<code>{_text(path)}</code> {scope}</h3><p>{_code(one['summary'])}.</p>{table}"
        f"<p class='answers'>{' &middot; '.join(answers)} &middot; problems {errors}</p></article>"
    )


def _where(parameter: Mapping[str, Any]) -> str:
    values = parameter["schema"].get("enum")
    return str(parameter["in"]) + (f": {', '.join(map(str, values))}" if values else "")


def _row(name: str, where: str, markup: str) -> str:
    head = f"<th scope='row'><code>{_text(name)}</code></th>"
    return f"<tr>{head}<td>{_text(where)}</td><td>{markup}</td></tr>"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    rows = "".join(
        _row(key, " ", f"{_kind(its)} {_code(its.get('description', ''))}")
        for key, its in schema.get("properties", {}).items()
    )
    head = f"<h3><code>{_text(name)}</code></h3><p>{_code(schema.get('description', ''))}</p>"
    return f"<article id='{_text(name)}'>{head}<table><tbody>{rows}</tbody></table></article>"


def _kind(schema: Mapping[str, Any]) -> str:
    """A type, with links to those that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{_text(name)}'>{_text(name)}</a>"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"<code>{_text(one)}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {})) or 'anything'}"
    return _text(schema.get("format") or schema.get("type", ""))


def _text(value: Any) -> str:
    return html.escape(str(value))


def _code(text: str) -> str:
    """A text whose backticks are code."""
    parts = _text(text).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
