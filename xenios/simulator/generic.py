"""The calls that follow from the fields of a class: getters, setters, and looking up by uuid, name or expression.

XAPI makes them from its data model, and so does the simulator: whatever class and field is in `datamodel.json` can
be read and, where the model says so, written. Reads give the live records, since an answer is encoded at once; a
thousand records cost no work here.

A setter that the model lists as a call of its own, with rules behind it (`VM.set_memory_limits`), is an operation.
Where nobody has written that operation and it only sets a field, it is made here.

Effects: none
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from xenios.simulator.api_error import ApiError
from xenios.simulator.coerce import internal_error
from xenios.simulator.dispatch import Call, Method, implemented_method, reads_by_name
from xenios.simulator.facts.datamodel import (
    ApiClass,
    Datamodel,
    Field,
    FieldType,
    Kind,
    Parameter,
    Record,
    load_datamodel,
)
from xenios.simulator.where import parse_expression

_TEXT = FieldType(Kind.STRING)
_WITHOUT_GETTERS = frozenset({"event", "message"})
_WITHOUT_GET_ALL = frozenset({"session", "user"})
_WITHOUT_NAME = frozenset({"pool"})
"""Their objects have a name and are still not found by it."""
# Of the tables that no simulated pool has rows in, these are not even asked for by clients that read everything.
_NEVER_IN_USE = frozenset(
    {"LVHD", "auth", "data_source", "Diagnostics", "probe_result", "sr_stat", "vdi_nbd_server_info"}
)


def find_method(name: str) -> Method | None:
    """What answers a call, by its full name without `Async.`; None when there is no such call."""
    made = _made_method(name)
    return implemented_method(name, made) or made


def method_names() -> list[str]:
    """Every call that there is, class by class, as system.listMethods tells them."""
    facts = load_datamodel()
    names: dict[str, None] = {}
    for class_name in facts.classes:
        for name in _names_of(facts, class_name):
            names[f"{class_name}.{name}"] = None
    names.update(dict.fromkeys(_names_of_empty_tables(facts)))
    return list(names)


def _names_of(facts: Datamodel, class_name: str) -> Iterator[str]:
    api_class = facts.classes[class_name]
    if class_name not in _WITHOUT_GETTERS:
        yield from ("get_record", "get_by_uuid")
        if "name_label" in api_class.fields and class_name not in _WITHOUT_NAME:
            yield "get_by_name_label"
        yield from (f"get_{field}" for field in api_class.fields)
        for field in api_class.fields.values():
            if field.qualifier == "RW":
                yield from _setters(field)
    for message in facts.messages.values():
        if message.class_name == class_name:
            yield message.name
    if class_name not in _WITHOUT_GETTERS | _WITHOUT_GET_ALL:
        yield from ("get_all", "get_all_where", "get_all_records_where", "get_all_records")


def _setters(field: Field) -> Iterator[str]:
    yield f"set_{field.name}"
    if field.type.kind is Kind.MAP:
        yield from (f"add_to_{field.name}", f"remove_from_{field.name}")
    elif field.type.kind is Kind.SET:
        yield from (f"add_{field.name}", f"remove_{field.name}")


def _empty_tables(facts: Datamodel) -> Iterator[str]:
    for table in facts.tables:
        if table not in facts.classes and table not in _NEVER_IN_USE:
            yield table


def _names_of_empty_tables(facts: Datamodel) -> Iterator[str]:
    for table in _empty_tables(facts):
        for name in ("get_record", "get_by_uuid", "get_all", "get_all_records_where", "get_all_records"):
            yield f"{table}.{name}"


@cache
def _made_method(name: str) -> Method | None:
    facts = load_datamodel()
    class_name, _, call_name = name.partition(".")
    if class_name in facts.classes:
        return _method_of_class(facts, facts.classes[class_name], call_name)
    if name in _names_of_empty_tables(facts):
        return _method_of_empty_table(class_name, call_name)
    return None


def _method_of_class(facts: Datamodel, api_class: ApiClass, call_name: str) -> Method | None:
    name = f"{api_class.name}.{call_name}"
    message = facts.messages.get(name)
    if api_class.name not in _WITHOUT_GETTERS:
        method = _whole(api_class, call_name) or _getter(api_class, call_name)
        if method is not None and message is None:
            return method
        method = _setter(api_class, call_name, declared=message is not None)
        if method is not None:
            if message is None:
                return method
            # Host.set_power_on_mode sets two fields at once: no setter of one field can do that.
            if [param.type for param in message.params] != [param.type for param in method.params]:
                method = None
        if method is not None and message is not None:
            return Method(
                name,
                message.params,
                message.result,
                method.run,
                asynchronous=message.asynchronous,
                reads=False,
            )
    if message is None:
        return None
    # Not doing it is no reason to forget who tried: the journal is told as if it were done.
    return Method(
        name,
        message.params,
        message.result,
        _not_implemented,
        asynchronous=message.asynchronous,
        reads=reads_by_name(name),
    )


def _not_implemented(call: Call, *_: Any) -> None:
    """What the data model has and the simulator has not."""
    raise ApiError("NOT_IMPLEMENTED", call.method)


def _parameter(name: str, kind_of: FieldType) -> Parameter:
    return Parameter(name, kind_of, has_default=False)


# ---- whole records ----


def _whole(api_class: ApiClass, call_name: str) -> Method | None:
    """What reads whole records or finds them, if that is what the call does."""
    class_name = api_class.name
    ref = FieldType(Kind.REF, class_name)
    record = FieldType(Kind.RECORD, class_name)
    refs = FieldType(Kind.SET, value=ref)
    records = FieldType(Kind.MAP, key=ref, value=record)
    this = _parameter("self", ref)
    expression = _parameter("expr", _TEXT)
    made: dict[str, tuple[tuple[Parameter, ...], FieldType, Callable[..., Any]]] = {
        "get_record": ((this,), record, lambda call, ref: call.pool.tables.get(class_name, ref)),
    }
    if "uuid" in api_class.fields:
        made["get_by_uuid"] = ((_parameter("uuid", _TEXT),), ref, _finder_by_uuid(class_name))
    if "name_label" in api_class.fields and class_name not in _WITHOUT_NAME:
        made["get_by_name_label"] = ((_parameter("label", _TEXT),), refs, _finder_by_name(class_name))
    if class_name not in _WITHOUT_GET_ALL:
        made["get_all"] = ((), refs, lambda call: list(call.pool.tables.live_rows(class_name)))
        made["get_all_records"] = ((), records, lambda call: call.pool.tables.live_rows(class_name))
        made["get_all_records_where"] = ((expression,), records, _finder_where(class_name))
        made["get_all_where"] = (
            (expression,),
            refs,
            lambda call, expr: list(_finder_where(class_name)(call, expr)),
        )
    if call_name not in made:
        return None
    params, result, run = made[call_name]
    return Method(f"{class_name}.{call_name}", params, result, run)


def _finder_by_uuid(class_name: str) -> Callable[..., str]:
    def find(call: Call, uuid: str) -> str:
        for ref, record in call.pool.tables.live_rows(class_name).items():
            if record["uuid"] == uuid:
                return ref
        raise ApiError("UUID_INVALID", class_name, uuid)

    return find


def _finder_by_name(class_name: str) -> Callable[..., list[str]]:
    def find(call: Call, label: str) -> list[str]:
        rows = call.pool.tables.live_rows(class_name)
        return [ref for ref, record in rows.items() if record["name_label"] == label]

    return find


def _finder_where(class_name: str) -> Callable[..., dict[str, Record]]:
    def find(call: Call, expr: str) -> dict[str, Record]:
        wanted = parse_expression(expr, class_name)
        rows = call.pool.tables.live_rows(class_name)
        return {ref: record for ref, record in rows.items() if wanted(record)}

    return find


def _method_of_empty_table(class_name: str, call_name: str) -> Method:
    ref = FieldType(Kind.REF, class_name)
    record = FieldType(Kind.RECORD, class_name)
    nothing = FieldType(Kind.MAP, key=ref, value=record)
    name = f"{class_name}.{call_name}"
    match call_name:
        case "get_all":
            return Method(name, (), FieldType(Kind.SET, value=ref), lambda call: [])
        case "get_all_records":
            return Method(name, (), nothing, lambda call: {})
        case "get_all_records_where":
            return Method(name, (_parameter("expr", _TEXT),), nothing, lambda call, expr: {})
        case "get_by_uuid":
            return Method(name, (_parameter("uuid", _TEXT),), ref, _finder_by_uuid(class_name))
        case _:
            run: Callable[..., Any] = lambda call, ref: call.pool.tables.get(class_name, ref)  # noqa: E731
            return Method(name, (_parameter("self", ref),), record, run)


# ---- single fields ----


def _getter(api_class: ApiClass, call_name: str) -> Method | None:
    field = api_class.fields.get(call_name.removeprefix("get_"))
    if field is None or not call_name.startswith("get_"):
        return None
    class_name, field_name = api_class.name, field.name
    return Method(
        f"{class_name}.{call_name}",
        (_parameter("self", FieldType(Kind.REF, class_name)),),
        field.type,
        lambda call, ref: call.pool.tables.get(class_name, ref)[field_name],
    )


def _setter(api_class: ApiClass, call_name: str, *, declared: bool) -> Method | None:
    """What sets a field, adds to it or removes from it; `declared` fields need not be writable by everyone."""
    for prefix, kinds in (
        ("add_to_", (Kind.MAP,)),
        ("remove_from_", (Kind.MAP,)),
        ("set_", tuple(Kind)),
        ("add_", (Kind.SET,)),
        ("remove_", (Kind.SET,)),
    ):
        field = _field_behind(api_class, call_name, prefix)
        if field is not None and field.type.kind in kinds and (declared or field.qualifier == "RW"):
            return _method_for_field(api_class, call_name, prefix, field)
    return None


def _field_behind(api_class: ApiClass, call_name: str, prefix: str) -> Field | None:
    if not call_name.startswith(prefix):
        return None
    wanted = call_name.removeprefix(prefix)
    # VIF.add_ipv4_allowed is about ipv4_allowed, network.add_purpose about purpose.
    return api_class.fields.get(wanted)


def _method_for_field(api_class: ApiClass, call_name: str, prefix: str, field: Field) -> Method:
    this = _parameter("self", FieldType(Kind.REF, api_class.name))
    params: tuple[Parameter, ...]
    match prefix:
        case "add_to_":
            params = (
                this,
                _parameter("key", field.type.key or _TEXT),
                _parameter("value", field.type.value or _TEXT),
            )
            run = _adder_to_map(api_class.name, field)
        case "remove_from_":
            params = (this, _parameter("key", field.type.key or _TEXT))
            run = _remover_from_map(api_class.name, field)
        case "add_":
            params = (this, _parameter("value", field.type.value or _TEXT))
            run = _adder_to_set(api_class.name, field)
        case "remove_":
            params = (this, _parameter("value", field.type.value or _TEXT))
            run = _remover_from_set(api_class.name, field)
        case _:
            params = (this, _parameter("value", field.type))
            run = _plain_setter(api_class.name, field)
    return Method(f"{api_class.name}.{call_name}", params, None, run, reads=False)


def _plain_setter(class_name: str, field: Field) -> Callable[..., None]:
    def put(call: Call, ref: str, value: Any) -> None:
        if isinstance(value, dict) and "" in value:
            raise internal_error("Db_exn.Empty_key_in_map")
        call.pool.tables.change(class_name, ref, **{field.name: value})

    return put


def _adder_to_map(class_name: str, field: Field) -> Callable[..., None]:
    def add(call: Call, ref: str, key: Any, value: Any) -> None:
        pairs = call.pool.tables.get(class_name, ref)[field.name]
        if key == "":
            raise internal_error("Db_exn.Empty_key_in_map")
        if key in pairs:
            raise ApiError("MAP_DUPLICATE_KEY", class_name, field.column, ref, str(key))
        call.pool.tables.change(class_name, ref, **{field.name: {**pairs, key: value}})

    return add


def _remover_from_map(class_name: str, field: Field) -> Callable[..., None]:
    def remove(call: Call, ref: str, key: Any) -> None:
        pairs = call.pool.tables.get(class_name, ref)[field.name]
        left = {other: value for other, value in pairs.items() if other != key}
        call.pool.tables.change(class_name, ref, **{field.name: left})

    return remove


def _adder_to_set(class_name: str, field: Field) -> Callable[..., None]:
    def add(call: Call, ref: str, value: Any) -> None:
        members = call.pool.tables.get(class_name, ref)[field.name]
        if value not in members:
            call.pool.tables.change(class_name, ref, **{field.name: [*members, value]})

    return add


def _remover_from_set(class_name: str, field: Field) -> Callable[..., None]:
    def remove(call: Call, ref: str, value: Any) -> None:
        members = call.pool.tables.get(class_name, ref)[field.name]
        left = [member for member in members if member != value]
        call.pool.tables.change(class_name, ref, **{field.name: left})

    return remove
