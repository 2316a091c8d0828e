"""Which seeds a program set: the last value given to each seeding call, and how often.

`random` and numpy keep no seed that could be asked for later, so the calls are noted. `random.seed` is a method of a
hidden object, and a program may pickle it or pass it on: it stays the object it is and gets another code, which notes
the value and runs the old code. Functions in C have none, and are replaced. The other libraries are asked at the
end, and nothing of them is touched.
"""

from __future__ import annotations

import os
import sys
from typing import Any

HOOKS = {"random": "seeds", "numpy.random": "seeds", "jax.random": "seeds"}
_CALLS = {"numpy.random": ("seed", "default_rng"), "jax.random": ("PRNGKey", "key")}
_TORCH_DEFAULT = 67280421310721  # torch's generator before anybody has seeded it; newer ones draw a number
_NOTE, _OLD = "<gitrun: the note goes here>", "<gitrun: the old code goes here>"
_seen: dict[str, dict[str, Any]] = {}


def install(module: Any, child: Any) -> None:
    """Has the seeding calls of a module noted that was just imported."""
    if module.__name__ == "random":
        _recode(child, module)
        return
    for call in _CALLS[module.__name__]:
        before = getattr(module, call, None)
        if callable(before):
            after = _noting(child, module.__name__ + "." + call, before)
            home = sys.modules.get(getattr(before, "__module__", None) or "")
            if getattr(home, call, None) is not before:
                home, after.__module__ = module, module.__name__  # a method of a hidden object, say
            after.__qualname__ = call  # pickle finds a function by its names
            for place in (module, home):
                setattr(place, call, after)


def _recode(child: Any, module: Any) -> None:
    """Gives `Random.seed` a code that notes what the module's own generator gets."""
    function, hidden = module.Random.seed, module.seed.__self__
    old = function.__code__
    new = _template().__code__
    if old.co_freevars != new.co_freevars or old.co_varnames[: old.co_argcount] != new.co_varnames[: new.co_argcount]:
        return  # a release that looks different
    kept = type(function)(old, function.__globals__, function.__name__, function.__defaults__, function.__closure__)

    def note(generator: Any, value: Any) -> None:
        if generator is hidden:
            _note(child, "random.seed", value)

    constants = tuple(note if item == _NOTE else kept if item == _OLD else item for item in new.co_consts)
    function.__code__ = new.replace(
        co_consts=constants, co_filename=old.co_filename, co_firstlineno=old.co_firstlineno, co_name=old.co_name
    )


def _template() -> Any:
    __class__ = None  # the old code has this free variable, for `super()`, and the new one has to have it as well

    def seed(self: Any, a: Any = None, version: int = 2) -> Any:
        if False:
            __class__  # type: ignore[unreachable]  # noqa: B018
        "<gitrun: the note goes here>".__call__(self, a)  # type: ignore[operator]
        return "<gitrun: the old code goes here>".__call__(self, a, version)  # type: ignore[operator]

    return seed


def _noting(child: Any, name: str, before: Any) -> Any:
    own = name.endswith("seed")  # the program's one generator, whoever seeds it; others belong to their caller
    libraries = (sys.prefix + "/", sys.base_prefix + "/")

    def call(*args: Any, **kwargs: Any) -> Any:
        if own or not sys._getframe(1).f_code.co_filename.startswith(libraries):
            _note(child, name, args[0] if args else next(iter(kwargs.values()), None))
        return before(*args, **kwargs)

    for attribute in ("__module__", "__name__", "__qualname__", "__doc__", "__self__", "__text_signature__"):
        try:
            setattr(call, attribute, getattr(before, attribute))
        except (AttributeError, TypeError):
            continue  # it has none, or not one that a function can have
    vars(call)["__wrapped__"] = before  # inspect.signature asks for it
    return call


def _note(child: Any, name: str, value: Any) -> None:
    noted = _seen.get(name)
    if noted is None or noted["life"] != child.forked_ns:
        noted = _seen[name] = {"life": child.forked_ns, "calls": 0, "unseeded": 0, "last": None}
    if value is None:
        noted["unseeded"] += 1  # that says nothing about the last seed
    else:
        noted["calls"] += 1
        noted["last"] = value if type(value) is int else _told(value)
    if child.pending and not child.busy:
        child.guarded("report", "flush")  # programs seed when they have imported what they need


def last_frames(child: Any) -> list[dict[str, Any]]:
    """The frame `seeds`."""
    value: dict[str, Any] = {"kind": "seeds", "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED")}
    for name, noted in _seen.items():
        if noted["life"] == child.forked_ns:  # before a fork it was the parent's, who tells it
            value[name] = {key: _told(noted[key]) for key in ("calls", "unseeded", "last")}
    torch = sys.modules.get("torch")
    if torch is not None and child.start_method != "fork":
        seed = torch.initial_seed()
        value["torch"] = {"calls": None, "last": seed} if seed != _TORCH_DEFAULT else {"calls": 0, "last": None}
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    if context is not None:
        value["tensorflow"] = {"calls": None, "last": _told(getattr(context, "_seed", None))}
    return [value]


def _told(value: Any) -> Any:
    """A seed as it can be kept, whatever object it is; nothing of the program's is held on to."""
    try:
        return _plain(value)
    except Exception:  # a value that only exists while a function is traced, say
        return type(value).__name__


def _plain(value: Any) -> Any:
    """A seed as a frame holds it: a number, a text, a short list of numbers, or the name of its type."""
    if hasattr(value, "tolist") and getattr(value, "size", 0) <= 64:
        value = value.tolist()
    elif hasattr(value, "__index__"):
        value = int(value)
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, (str, bytes)):
        return value[:256]
    if isinstance(value, (list, tuple)) and len(value) <= 64 and all(isinstance(item, int) for item in value):
        return [_plain(item) for item in value]
    entropy = getattr(value, "entropy", None)  # numpy's SeedSequence
    return _plain(entropy) if entropy is not None else type(value).__name__
