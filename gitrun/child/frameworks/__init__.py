"""How programs are configured, observed where their frameworks have just parsed it.

A reading of the command line cannot know that `--verbose data.csv` is a flag and a file, nor what a program takes
where nothing is said. Its framework knows. So each of these files adds one line to one function of a framework, at a
place where the values are known and no code of the user's runs below it (`splice`). Nothing is wrapped, replaced or
written: tracebacks, signatures and stack levels stay as they are, and every value is looked at and left alone.
"""

# The module that has just been imported -> the file here whose `install(module, report)` is for it.
HOOKS = {
    "argparse": "argparse",
    "hydra.core.utils": "hydra",
    "click.core": "click",
    "typer._click.core": "click",  # typer brings a click of its own
    "absl.flags._flagvalues": "absl",
    "jsonargparse._core": "jsonargparse",
    "jsonargparse.core": "jsonargparse",  # before 4.20
    "fire.core": "fire",
}
