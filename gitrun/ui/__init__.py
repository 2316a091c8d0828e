"""What people see: words for sizes and times, tables, progress, errors."""
