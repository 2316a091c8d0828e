"""Reads a configuration file into plain values: JSON, TOML, INI, and YAML where PyYAML is installed.

The file may be anything: a data set that ends in .json, a YAML document whose aliases unfold to gigabytes, a
thousand nested brackets. So a file is read up to a bound, YAML is walked event by event before it is
loaded, and the values are counted while they are flattened. A file beyond a bound is still named in the
record, without values, with the reason.
"""

from __future__ import annotations

from typing import Any

from gitrun.capture.facts import clean_text

MAX_BYTES = 1 << 20
MAX_VALUES = 5000
MAX_NODES = 50_000
MAX_DEPTH = 32
MAX_ALIASES = 100
MAX_MERGE_ALIASES = 30  # `<<: *x` copies what it names, and copies of copies multiply
FORMATS = {
    ".json": "json", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".ini": "ini", ".cfg": "ini",
}  # fmt: skip


class Unreadable(ValueError):
    """The file's values are not recorded; the message says why."""


def format_of(path: bytes) -> str | None:
    """The format that a file's ending promises, or None."""
    name = path.lower()
    for ending, kind in FORMATS.items():
        if name.endswith(ending.encode("ascii")):
            return kind
    return None


def read_values(data: bytes, kind: str) -> dict[str, Any]:
    """The values of a file, flattened: `{"model": {"lr": 1}}` is `{"model.lr": 1}`; raises Unreadable."""
    if len(data) > MAX_BYTES:
        raise Unreadable(f"{len(data)} bytes, more than {MAX_BYTES}: too large to be configuration")
    try:
        tree = {"json": _json, "toml": _toml, "yaml": _yaml, "ini": _ini}[kind](data)
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except Exception as problem:  # parsers raise what they like on hostile input, and none of it may end a recording
        words = " ".join(str(problem).split())[:160]
        raise Unreadable(f"not {kind.upper()}: {words or type(problem).__name__}") from problem
    if not isinstance(tree, dict):
        raise Unreadable("holds no named values")
    return flatten(tree)


def flatten(tree: dict[Any, Any]) -> dict[str, Any]:
    """Leaves by their dotted names. A list of scalars is one leaf, a list with mappings in it is numbered."""
    flat = _Flat()
    flat.add(tree, "", 0)
    return flat.values


class _Flat:
    """The values so far. Every scalar counts, since a few aliases can make one list of a thousand million."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._left = MAX_VALUES

    def add(self, node: Any, name: str, depth: int) -> None:
        """Add the leaves below `node`, whose own name is `name`."""
        self._check(depth)
        if isinstance(node, dict) and (node or not name):
            for key, item in node.items():
                self.add(item, f"{name}.{clean_text(str(key))}" if name else clean_text(str(key)), depth + 1)
        elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
            for index, item in enumerate(node):
                self.add(item, f"{name}.{index}", depth + 1)
        else:
            self.values[name] = self._plain(node, depth)

    def _plain(self, value: Any, depth: int) -> Any:
        """A leaf as records can hold it; dates and other objects as their text."""
        self._check(depth)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return clean_text(value)
        if isinstance(value, list | tuple | set | frozenset):
            items = [self._plain(item, depth + 1) for item in value]
            return sorted(items, key=repr) if isinstance(value, set | frozenset) else items
        if isinstance(value, dict):
            return {clean_text(str(key)): self._plain(item, depth + 1) for key, item in value.items()}
        return clean_text(value.isoformat() if hasattr(value, "isoformat") else str(value))

    def _check(self, depth: int) -> None:
        self._left -= 1
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        if self._left < 0:
            raise Unreadable(f"more than {MAX_VALUES} values: data rather than configuration")


def _json(data: bytes) -> Any:
    import json

    return json.loads(data.decode("utf-8-sig"))


def _toml(data: bytes) -> Any:
    import tomllib  # only where a file in this format was given, as below

    return tomllib.loads(data.decode("utf-8-sig"))


def _ini(data: bytes) -> Any:
    import configparser

    parser = configparser.RawConfigParser(allow_no_value=True, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read_string(data.decode("utf-8-sig"))
    tree: dict[str, Any] = {}
    if parser.defaults():
        tree["DEFAULT"] = dict(parser.defaults())
    for section in parser.sections():
        tree[section] = dict(parser.items(section))
    return {
        section: {key: _ini_scalar(value) for key, value in items.items()} for section, items in tree.items() if items
    }


def _ini_scalar(text: str | None) -> Any:
    from gitrun.capture.words import scalar

    return None if text is None else scalar(text)


def _yaml(data: bytes) -> Any:
    try:
        import yaml  # optional, the `yaml` extra
    except ImportError:
        raise Unreadable("PyYAML is not installed (pip install 'gitrun[yaml]'), so the values were not read") from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = data.decode("utf-8-sig")
    depth = aliases = merges = 0
    for nodes, event in enumerate(yaml.parse(text, Loader=loader), 1):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        merges += isinstance(event, yaml.ScalarEvent) and event.value == "<<"
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        if nodes > MAX_NODES or aliases > (MAX_MERGE_ALIASES if merges else MAX_ALIASES):
            raise Unreadable("too many values or aliases to be configuration")
    return yaml.load(text, Loader=loader)
