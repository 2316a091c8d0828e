"""What a run is: ids, the canonical JSON of records, times, statuses. Pure: bytes in, values out."""
