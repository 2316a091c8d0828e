"""Loads the child's files past `sys.modules`: what a program imports, and what it finds imported, stays its own.

A file of this folder is run in a namespace whose `__import__` is ours: it finds the other files here, and gives
everything else to Python. Three imports get something of their own. `typing` is slow and only needed by type
checkers, so a stand-in is enough. `struct` is its C half, and `zlib` comes from where the standard library is: by the
time they are needed the user's directory is first on `sys.path`, and a script of theirs may be called like that.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# (annotations are evaluated here: this file makes the `typing` that the others get)

import sys

_PACKAGES = ("gitrun.child", "gitrun.child.frameworks")
_NAME = "<gitrun child>"  # no file: a coverage tool passes over it, and a traceback says whose it is


class _Anything:
    """Stands for whatever is only named in an annotation."""

    def __getitem__(self, _):
        return self

    def __or__(self, _):
        return self

    __ror__ = __or__


def make_loader(folder, path_at_start, untouched, open):
    """A function from the full name of a module below gitrun.child to the module.

    `untouched` holds modules as they were before the program could patch them, as `open` is.
    """
    modules: dict[str, object] = {}
    home = type(sys)(_PACKAGES[0])
    stand_in = type(sys)("typing")

    vars(stand_in).update(TYPE_CHECKING=False, __getattr__=lambda name: _Anything())

    def load(name):
        module = modules.get(name)
        if module is None:
            module = _load(name)
        return module

    def _load(name):
        is_package = name in _PACKAGES
        path = folder + name[len(_PACKAGES[0]) :].replace(".", "/") + ("/__init__.py" if is_package else ".py")
        code = _code(name, path, _NAME + path[len(folder) :])
        module = modules[name] = type(sys)(name)
        module.__package__ = name if is_package else name.rpartition(".")[0]
        module.__file__ = path
        vars(module)["__builtins__"] = builtins
        try:
            exec(code, module.__dict__)
        except BaseException:
            del modules[name]
            raise
        return module

    def _import(name, space=None, _locals=None, names=(), level=0):
        if level:
            above = (space or {})["__package__"].rsplit(".", level - 1)[0]
            name = above + "." + name if name else above
        if name == _PACKAGES[0]:
            return _with_parts(home, names, load)  # its own file says nothing
        if name.startswith(_PACKAGES[0] + "."):
            return _with_parts(load(name), names, load)
        if name in untouched:
            return untouched[name]
        if name in ("typing", "__future__"):
            return stand_in
        if name in ("struct", "zlib", "binascii"):
            if name not in modules:
                modules[name] = _standard("_struct" if name == "struct" else name, path_at_start)
            return modules[name]
        return __import__(name, space, _locals, names, level)

    builtins = dict(vars(sys.modules["builtins"]), __import__=_import, open=open)
    return load


def _with_parts(module, names, load):
    for part in names or ():
        if not hasattr(module, part):
            setattr(module, part, load(module.__name__ + "." + part))
    return module


def _code(name, path, shown):
    code = sys.modules["_frozen_importlib_external"].SourceFileLoader(name, path).get_code(name)
    sys.modules["_imp"]._fix_co_filename(code, shown)
    return code


def _standard(name, path):
    """A C module of the standard library that leaves no trace where it was not imported yet."""
    frozen, before = sys.modules["_frozen_importlib"], sys.modules.get(name)
    if name in sys.builtin_module_names:
        spec = frozen.BuiltinImporter.find_spec(name)
    else:
        home = [entry for entry in path if entry.endswith("lib-dynload")] or path
        spec = sys.modules["_frozen_importlib_external"].PathFinder.find_spec(name, home)
    if before is not None and getattr(getattr(before, "__spec__", None), "origin", None) == spec.origin:
        return before
    module = frozen.module_from_spec(spec)
    spec.loader.exec_module(module)
    if before is None:
        sys.modules.pop(name, None)  # before Python 3.10 some of them register themselves
    else:
        sys.modules[name] = before
    return module
