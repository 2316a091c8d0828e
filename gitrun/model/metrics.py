"""What the points of a run look like as a table, and what is said of a metric as a whole (spec/metrics)."""

from __future__ import annotations

PART = "metrics.parquet"
# The columns in their order, with their types as Arrow writes them.
COLUMNS = {"name": "string", "step": "int64", "time": "timestamp[us, tz=UTC]", "value": "double", "rank": "int32"}
# What is known of a metric without its points; `min_step` is the step at which it was smallest.
SUMMARY = ("count", "min", "max", "first", "last", "last_step", "min_step", "max_step")
