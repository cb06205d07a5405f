"""The code's own types as JSON schemas; those with a name become components of the document."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core.core_schema import TypedDictSchema

from streaming.options import Options

REFERENCE: Final = "#/components/schemas/"

Schema = dict[str, Any]
# A type, a schema, or what makes one and may name others.
Shape = type | Schema | Callable[["Schemas"], Schema]

TEXT: Final[Schema] = {"type": "string"}
BINARY: Final[Schema] = {"type": "string", "format": "binary"}
NULL: Final[Schema] = {"type": "null"}


class Exact(GenerateJsonSchema):
    """What we answer has the fields of its type and no others. No titles: they repeat names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def typed_dict_schema(self, schema: TypedDictSchema) -> Schema:
        return {**super().typed_dict_schema(schema), "additionalProperties": False}


class Schemas:
    """Collects the components."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def of(self, shape: Shape) -> Schema:
        """A reference, where it has a name."""
        if isinstance(shape, type):
            return self.keep(shape.__name__, self.inline(shape))
        return shape if isinstance(shape, dict) else shape(self)

    def inline(self, kind: type, mode: JsonSchemaMode = "serialization") -> Schema:
        """The schema itself; what it refers to is kept."""
        schema = TypeAdapter(kind).json_schema(
            ref_template=REFERENCE + "{model}", schema_generator=Exact, mode=mode
        )
        for name, part in schema.pop("$defs", {}).items():
            self.keep(name, part)
        return schema

    def keep(self, name: str, schema: Schema) -> Schema:
        """The reference to it."""
        schema = {key: value for key, value in schema.items() if key != "title"}
        assert self.components.get(name, schema) == schema, f"there are two types named {name}"
        self.components[name] = schema
        return {"$ref": REFERENCE + name}


def any_of(*shapes: Shape) -> Shape:
    return lambda schemas: {"anyOf": [schemas.of(shape) for shape in shapes]}


def events(*kinds: tuple[str, Shape]) -> Shape:
    """One of a stream of server-sent events: names, and what their data is, as JSON."""

    def event(schemas: Schemas, name: str, data: Shape) -> Schema:
        text = {**TEXT, "contentMediaType": "application/json", "contentSchema": schemas.of(data)}
        return {
            "type": "object",
            "properties": {"event": {"const": name}, "data": text},
            "required": ["data"],
        }

    return lambda schemas: {"anyOf": [event(schemas, name, data) for name, data in kinds]}


def form(
    model: type[Options],
    *,
    without: Collection[str] = (),
    configured: Collection[str] = (),
    names: Mapping[str, str] | None = None,
    open_to_others: bool = False,
) -> Shape:
    """A form with a recording in `file`, and the options of a model in the other fields.

    `without`: options that it may not have. `configured`: those whose default is the server's.
    `names`: what a form calls an option, where that differs.
    """

    def schema(schemas: Schemas) -> Schema:
        options = _fields(schemas.inline(model, "validation"), configured)
        called = names or {}
        fields = {called.get(n, n): field for n, field in options.items() if n not in without}
        return {
            "type": "object",
            "properties": {"file": {**BINARY, "description": "The recording."}, **fields},
            "required": ["file"],
            "additionalProperties": open_to_others,
        }

    return schema


def query(
    model: type[Options], *, configured: Collection[str] = (), defaults: bool = True
) -> list[Schema]:
    """The options of a model as parameters; without `defaults` none is offered to be sent."""
    schemas = Schemas()
    whole = schemas.inline(model, "validation")
    assert not schemas.components, f"{model.__name__} does not fit into a query"
    parameters = []
    for name, field in _fields(whole, configured).items():
        described = {"description": field.pop("description")} if "description" in field else {}
        if not defaults:
            field.pop("default", None)
        is_required = name in whole.get("required", ())
        parameters.append(
            {"name": name, "in": "query", "required": is_required, **described, "schema": field}
        )
    return parameters


def _fields(whole: Schema, configured: Collection[str]) -> dict[str, Schema]:
    """Properties as a form or a query has them: nothing there can be null."""
    fields = {}
    for name, given in whole["properties"].items():
        field = dict(given)
        if field.get("default", ...) is None or name in configured:
            field.pop("default", None)
        if name in configured:
            text = field.get("description", "")
            field["description"] = f"{text} The server's configuration has the default.".strip()
        options = [option for option in field.get("anyOf", ()) if option != NULL]
        if len(options) == 1:
            field = {**{k: v for k, v in field.items() if k != "anyOf"}, **options[0]}
        elif options:
            field["anyOf"] = options
        fields[name] = field
    return fields
