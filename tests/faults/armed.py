"""`python -m tests.faults.armed PLACE STORY AT KIND gitrun-words…`: gitrun as a process in which one fault happens."""

from __future__ import annotations

import sys

from tests.faults.layer import Fault, Layer

place, story, at, kind, *words = sys.argv[1:]
Layer(place, story, Fault(int(at), kind)).install()
sys.argv = ["gitrun", *words]

from gitrun.__main__ import main  # noqa: E402  (what it imports meets the layer)

sys.exit(main())
