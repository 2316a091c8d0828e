"""Hydra: the composed configuration of a job, when the job begins.

Interpolations stay as they are written where answering them could run a resolver: that is code of the program's, and
may draw a random number. Those that only name another value are followed here.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

from gitrun.child.frameworks import splice
from gitrun.child.frameworks.program import GIVEN, PROGRAM, find_caller
from gitrun.child.frameworks.telling import Teller, Told, observe

_MOST_STEPS = 16
_MOST_FILES = 50


def install(module: Any, report: Callable[[dict[str, Any]], None]) -> None:
    """Makes Hydra tell what a job is run with."""

    def describe(config: Any, output_dir: Any, job_dir_key: Any) -> Told | None:
        caller = find_caller()
        if caller is None:
            return None
        content = sys.modules["omegaconf"].OmegaConf.to_container(config, resolve=False, enum_to_str=True)
        own = content.pop("hydra", None) or {}
        overrides = [word for word in (own.get("overrides") or {}).get("task") or [] if isinstance(word, str)]
        told = Told(PROGRAM if set(overrides) <= set(sys.argv) or _is_sweep(own) else GIVEN, caller, _job_name(own))
        told.files, paths = _files(own)
        if job_dir_key == "hydra.sweep.dir" and isinstance(output_dir, str):
            told.sweep = output_dir  # Hydra has just asked for it; a resolver must not be asked twice
        given = {_key(word): word for word in overrides}
        for name, value in _leaves(content):
            word = next((given[key] for key in _above(name) if key in given), None)
            at = told.argv.index(word) if word in told.argv else None
            source = "argv" if at is not None else "override" if word else "file" if paths else "default"
            resolved = _resolved(value, name, content, _MOST_STEPS)
            told.add(name, resolved, source, word=at)
            if isinstance(resolved, str) and "${" in resolved:
                told.unresolved(name)
        return told

    def add() -> None:
        teller = Teller("hydra", report, describe)
        splice.after(module.run_job, teller.passed, ("config", "output_dir", "job_dir_key"), "output_dir")

    observe("hydra", report, add)


def _is_sweep(own: dict[str, Any]) -> bool:
    return str(own.get("mode")) == "MULTIRUN" or isinstance((own.get("job") or {}).get("num"), int)


def _job_name(own: dict[str, Any]) -> str | None:
    name = (own.get("job") or {}).get("name")
    return name if type(name) is str else None


def _files(own: dict[str, Any]) -> tuple[list[bytes], list[str]]:
    """The configuration files that were composed: the primary one, and one for each choice of a group."""
    folders = [
        source["path"]
        for source in (own.get("runtime") or {}).get("config_sources") or []
        if isinstance(source, dict) and source.get("schema") == "file" and source.get("path")
    ]
    names = [str((own.get("job") or {}).get("config_name") or "")]
    for group, choice in ((own.get("runtime") or {}).get("choices") or {}).items():
        if isinstance(choice, str) and not str(group).startswith("hydra/"):
            home = str(group).partition("@")[0]
            names.append(f"{home}/{choice}")
    found = []
    for name in names[:_MOST_FILES]:
        for folder in folders if name else ():
            path = f"{folder}/{name}" + ("" if name.endswith((".yaml", ".yml")) else ".yaml")
            if os.path.isfile(path):
                found.append(os.fsencode(path))
                break
    return found, folders


def _key(word: str) -> str:
    """The name that an override is about."""
    return word.partition("=")[0].lstrip("+~").partition("@")[0].replace("/", ".")


def _above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in reversed(range(len(parts)))]


def _leaves(content: Any, name: str = "", depth: int = 0) -> list[tuple[str, Any]]:
    if not isinstance(content, dict) or not content or depth > 24:
        return [(name, content)] if name else []
    found = []
    for key, item in content.items():
        found += _leaves(item, f"{name}.{key}" if name else str(key), depth + 1)
    return found


def _resolved(value: Any, name: str, content: Any, steps: int) -> Any:
    """A value with each `${other.name}` in it replaced; one with anything else in it is left as it is written."""
    if isinstance(value, list):
        return [_resolved(item, name + ".0", content, steps) for item in value[:1000]] + value[1000:]
    if not isinstance(value, str) or "${" not in value or steps <= 0:
        return value
    before, _, behind = value.partition("${")
    inner, closed, behind = behind.partition("}")
    target = _target(inner.strip(), name)
    if not closed or target is None:
        return value
    found = content
    for part in target.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return value
    found = _resolved(found, target, content, steps - 1)
    if not before and not behind:
        return found
    if isinstance(found, (dict, list)):
        return value
    return _resolved(before + str(found) + behind, name, content, steps - 1)


def _target(inner: str, name: str) -> str | None:
    """The full name that an interpolation means; None for a resolver's or a nested one."""
    if not inner or any(char in inner for char in ":$'\" ["):
        return None
    dots = len(inner) - len(inner.lstrip("."))
    if dots == 0:
        return inner
    home = name.split(".")
    return ".".join([*home[: len(home) - dots], inner[dots:]]) if dots <= len(home) else None
