#!/bin/sh
# Word frequencies of a text by a shell pipeline: any command can be recorded, not only Python.
#
#     gitrun record -- ./run.sh text.txt
set -eu
input="${1:?usage: run.sh TEXT}"
top="${TOP:-10}"

export LC_ALL=C  # the order of sort depends on it
tr -cs '[:alpha:]' '\n' <"$input" |
    tr '[:upper:]' '[:lower:]' |
    sort | uniq -c |
    sort -k1,1nr -k2,2 >counts.txt

awk -v top="$top" -f summary.awk counts.txt
