"""What of pydantic's core schema is known to look at its own cell only.

Deny by default: a node type, a key or a configuration key that is not named here
raises ``NotKnown``, and the model is validated row by row. So a new pydantic can
make a validation slower, never wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from jobu_core.pipeline.validate.pure import is_pure

if TYPE_CHECKING:
    from jobu_core.pipeline.validate.core_schema import Schema

_EVERYWHERE: Final = frozenset({"type", "ref", "metadata", "serialization"})
_BOUNDS: Final = frozenset({"le", "ge", "lt", "gt", "multiple_of", "strict"})
_SIZES: Final = frozenset({"min_length", "max_length", "fail_fast", "strict"})
_ERRORS: Final = frozenset({"custom_error_type", "custom_error_message", "custom_error_context"})
_FUNCTION: Final = frozenset({"function", "schema", "json_schema_input_schema"})
_URL: Final = frozenset(
    {
        *("max_length", "allowed_schemes", "host_required", "default_host", "default_port"),
        *("default_path", "strict"),
    }
)

_NODES: Final[Mapping[str, frozenset[str]]] = {
    "any": frozenset(),
    "none": frozenset(),
    "bool": frozenset({"strict"}),
    "int": _BOUNDS,
    "float": _BOUNDS | {"allow_inf_nan"},
    "decimal": _BOUNDS | {"allow_inf_nan", "max_digits", "decimal_places"},
    "str": frozenset(
        {
            *("pattern", "max_length", "min_length", "strip_whitespace", "to_lower", "to_upper"),
            *("ascii_only", "regex_engine", "strict", "coerce_numbers_to_str"),
        }
    ),
    "bytes": frozenset({"min_length", "max_length", "strict"}),
    "date": _BOUNDS | {"now_op", "now_utc_offset"},
    "time": _BOUNDS | {"tz_constraint", "microseconds_precision"},
    "datetime": _BOUNDS | {"now_op", "now_utc_offset", "tz_constraint", "microseconds_precision"},
    "timedelta": _BOUNDS | {"microseconds_precision"},
    "uuid": frozenset({"version", "strict"}),
    "url": _URL,
    "multi-host-url": _URL,
    "literal": frozenset({"expected"}),
    "enum": frozenset({"cls", "members", "sub_type", "missing", "strict"}),
    "is-instance": frozenset({"cls", "cls_repr"}),
    "json": frozenset({"schema"}),
    "list": _SIZES | {"items_schema"},
    "set": _SIZES | {"items_schema"},
    "frozenset": _SIZES | {"items_schema"},
    "tuple": _SIZES | {"items_schema", "variadic_item_index"},
    "dict": _SIZES | {"keys_schema", "values_schema"},
    "nullable": frozenset({"schema", "strict"}),
    "default": frozenset(
        {
            *("schema", "default", "default_factory", "default_factory_takes_data", "on_error"),
            *("validate_default", "copy_default", "strict"),
        }
    ),
    "union": _ERRORS | {"choices", "auto_collapse", "mode", "strict"},
    "tagged-union": _ERRORS | {"choices", "discriminator", "strict", "from_attributes"},
    "chain": frozenset({"steps"}),
    "custom-error": _ERRORS | {"schema"},
    "lax-or-strict": frozenset({"lax_schema", "strict_schema", "strict"}),
    "json-or-python": frozenset({"json_schema", "python_schema"}),
    "function-before": _FUNCTION,
    "function-after": _FUNCTION,
    "function-wrap": _FUNCTION,
    "function-plain": frozenset({"function", "json_schema_input_schema"}),
    "model": frozenset(
        {
            *("cls", "generic_origin", "schema", "custom_init", "root_model", "post_init"),
            *("revalidate_instances", "strict", "frozen", "extra_behavior", "config"),
        }
    ),
    "model-fields": frozenset(
        {"fields", "model_name", "computed_fields", "strict", "extra_behavior", "from_attributes"}
    ),
    "model-field": frozenset(
        {
            *("schema", "validation_alias", "serialization_alias", "serialization_exclude"),
            *("serialization_exclude_if", "frozen"),
        }
    ),
    "typed-dict": frozenset(
        {"fields", "cls", "cls_name", "computed_fields", "strict", "extra_behavior", "total"}
    )
    | {"config"},
    "typed-dict-field": frozenset(
        {
            *("schema", "required", "validation_alias", "serialization_alias"),
            *("serialization_exclude", "serialization_exclude_if"),
        }
    ),
    "definition-ref": frozenset({"schema_ref"}),
}
"""Node type → its keys, beside those that every node has."""

_CONFIG: Final = frozenset(
    {
        *("title", "strict", "extra_fields_behavior", "typed_dict_total", "from_attributes"),
        *("loc_by_alias", "revalidate_instances", "validate_default", "str_max_length"),
        *("str_min_length", "str_strip_whitespace", "str_to_lower", "str_to_upper"),
        *("allow_inf_nan", "ser_json_timedelta", "ser_json_temporal", "ser_json_bytes"),
        *("ser_json_inf_nan", "val_json_bytes", "hide_input_in_errors", "validation_error_cause"),
        *("coerce_numbers_to_str", "regex_engine", "cache_strings", "validate_by_alias"),
        *("validate_by_name", "serialize_by_alias", "polymorphic_serialization"),
        "url_preserve_empty_path",
    }
)

_HOLD_NODES: Final = (
    *("schema", "items_schema", "keys_schema", "values_schema", "choices", "steps", "fields"),
    *("lax_schema", "strict_schema", "json_schema", "python_schema"),
)


class NotKnown(Exception):  # noqa: N818 - a finding about a schema, not an error of the program
    """Something that may look beyond its cell, or that this version has not studied."""


def calls_of(node: Schema, definitions: Mapping[str, Schema]) -> str | None:
    """Return what the node calls whose result may differ for equal cells, or None.

    Raises NotKnown for anything that is not on the list, however deep.
    """
    found: str | None = None
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        refuse_unknown(current)
        found = found or _call_of(current)
        reference = current.get("schema_ref")
        if reference is not None:
            if reference not in definitions:
                raise NotKnown(f"a reference to {reference!r}, which is not defined")
            if reference not in seen:
                seen.add(reference)
                waiting.append(definitions[reference])
        waiting.extend(children(current))
    return found


def refuse_unknown(node: Schema) -> None:
    """Raise NotKnown unless the node's type, keys and configuration keys are known."""
    kind = node["type"]
    known = _NODES.get(kind)
    if known is None:
        raise NotKnown(f"a schema of type {kind!r}")
    for key, value in node.items():
        if key not in known and key not in _EVERYWHERE and value is not None:
            raise NotKnown(f"the key {key!r} of a schema of type {kind!r}")
    for key, value in (node.get("config") or {}).items():
        if key not in _CONFIG and value is not None:
            raise NotKnown(f"the model configuration {key!r}")


def children(node: Schema) -> Iterator[Schema]:
    """Yield the nodes directly inside ``node``."""
    for key in _HOLD_NODES:
        held: Any = node.get(key)
        if isinstance(held, Mapping) and not isinstance(held.get("type"), str):
            held = list(held.values())
        for each in held if isinstance(held, list | tuple) else [held]:
            inner = each[0] if isinstance(each, tuple) else each
            if isinstance(inner, Mapping):
                yield inner


def _call_of(node: Schema) -> str | None:
    """Return what the node itself calls, by the first rule that finds something."""
    return next(filter(None, (rule(node) for rule in _CALLS)), None)


def _function(node: Schema) -> str | None:
    if not node["type"].startswith("function-"):
        return None
    given: Mapping[str, Any] = node["function"]
    called = given["function"]
    name = getattr(called, "__name__", "a validator")
    if given["type"] != "no-info":
        raise NotKnown(f"{name} is given the fields before it")
    return None if is_pure(called) else f"{name} is not marked pure"


def _factory(node: Schema) -> str | None:
    factory = node.get("default_factory")
    if factory is None:
        return None
    if node.get("default_factory_takes_data"):
        raise NotKnown("a default_factory is given the fields before it")
    name = getattr(factory, "__name__", "of a default")
    return None if is_pure(factory) else f"the factory {name} is not marked pure"


def _clock(node: Schema) -> str | None:
    return "it is compared with the clock" if node.get("now_op") is not None else None


def _own_rules(node: Schema) -> str | None:
    """Find code of the user's behind Enums, unions, classes and nested models."""
    kind = node["type"]
    if kind == "enum" and node.get("missing") is not None:
        return "the Enum has a _missing_ of its own"
    if kind == "tagged-union" and callable(node["discriminator"]):
        return "the discriminator is a function"
    if kind == "is-instance" and "__instancecheck__" in _defined(type(node["cls"])):
        return f"{node['cls'].__name__} decides itself what an instance is"
    if node.get("custom_init") or node.get("post_init"):
        return f"{node['cls'].__name__} runs code when it is made"
    return None


def _defined(metaclass: type) -> set[str]:
    """Return what a metaclass adds to ``type``."""
    return {name for each in metaclass.__mro__ if each not in (type, object) for name in vars(each)}


_CALLS: Final = (_function, _factory, _clock, _own_rules)
