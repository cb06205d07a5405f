"""pydantic's errors → ours, naming the field, the value and what is allowed."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, TypeAdapter, ValidationError

from streaming.errors import BadMessage

VALUE_LENGTH_MAX = 60
OTHERS_MAX = 10


def _auto(value: object) -> object:
    return None if value == "auto" else value


ALLOWED: Final = "x-allowed"  # in a schema: what is allowed, in words

LANGUAGE: Final[dict[str, JsonValue]] = {
    "anyOf": [{"const": "auto"}, {"type": "string", "pattern": "^[a-z]{2,3}$"}, {"type": "null"}],
    ALLOWED: "auto or an ISO 639 code such as en",
}
Language = Annotated[
    Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None,
    BeforeValidator(_auto),
    Field(json_schema_extra=LANGUAGE),
]
"""A language as clients name it; `auto` is None."""

# Of a string's format.
EXAMPLES: Final = {
    "date": "a date such as 2026-01-31",
    "date-time": "a time such as 2026-01-31T12:00:00Z",
}

WebAddress = Annotated[
    str,
    Field(
        max_length=8000,
        pattern=r"^https?://[^\s\x00-\x1f]+$",
        json_schema_extra={ALLOWED: "an address of http:// or https://"},
    ),
]


def bad_message(error: ValidationError, model: type[BaseModel]) -> BadMessage:
    """The first problem as an error; the others are named in its message."""
    schema = TypeAdapter(model).json_schema()
    problems = error.errors(include_url=False)
    first = problems[0]
    path = [str(part) for part in first["loc"]]
    field = ".".join(_short_name(part) for part in path)
    allowed = _allowed(schema, path, unknown=first["type"] == "extra_forbidden")
    if first["type"] == "missing":
        message = f"{field}: is missing"
    elif first["type"] == "extra_forbidden":
        message = f"{field}: there is no such field"
    else:
        message = f"{field}: {_short(first['input'])} is not allowed"
    if len(problems) > 1:
        others = sorted({".".join(map(_short_name, problem["loc"])) for problem in problems[1:]})
        message += f" (also wrong: {', '.join(others[:OTHERS_MAX])})"
    return BadMessage(message, field=field, allowed=allowed)


def _short_name(part: object) -> str:
    text = str(part)
    return text if len(text) <= VALUE_LENGTH_MAX else text[: VALUE_LENGTH_MAX - 1] + "…"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= VALUE_LENGTH_MAX else text[: VALUE_LENGTH_MAX - 1] + "…"


def _allowed(schema: dict[str, Any], path: list[str], *, unknown: bool) -> str:
    definitions = schema.get("$defs", {})
    node = schema
    for part in path[:-1] if unknown else path:
        node = _resolve(node, definitions)
        inner = _properties(node, definitions)
        node = node.get("items", {}) if part.isdigit() else inner.get(part, {})
    node = _resolve(node, definitions)
    if unknown:
        return ", ".join(_properties(node, definitions))
    return _describe(node)


def _resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        found: dict[str, Any] = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return found
    return node


def _properties(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Of an object, or of the one that an optional object may be."""
    for option in (node, *node.get("anyOf", ())):
        if "properties" in (resolved := _resolve(option, definitions)):
            found: dict[str, Any] = resolved["properties"]
            return found
    return {}


def _describe(node: dict[str, Any]) -> str:
    if ALLOWED in node:
        return str(node[ALLOWED])
    if "anyOf" in node:
        return " or ".join(filter(None, (_describe(option) for option in node["anyOf"])))
    if "enum" in node:
        return ", ".join(str(value) for value in node["enum"])
    if "const" in node:
        return str(node["const"])
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum", node.get("exclusiveMaximum"))
    if low is not None and high is not None:
        between = "between " if "exclusiveMinimum" in node else ""
        return f"{between}{low} {'and' if between else 'to'} {high}"
    if low is not None:
        return f"{low} or more"
    if "pattern" in node:
        return f"text like {node['pattern']}"
    if node.get("format") in EXAMPLES:
        return EXAMPLES[node["format"]]
    kind: str = node.get("type", "")
    bounds = {"string": "maxLength", "array": "maxItems"}
    if kind in bounds and bounds[kind] in node:
        unit = "characters" if kind == "string" else "items"
        return f"{kind} of up to {node[bounds[kind]]} {unit}"
    names: dict[str, str] = {"boolean": "true, false"}
    return names.get(kind, kind)
