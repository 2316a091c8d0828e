"""Examinations: is the archive of this clone well, and would a recording work here."""
