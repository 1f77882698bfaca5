#!/usr/bin/env bash
# Tests beside each other, then those that failed once more, alone: real programs that share two cores are sometimes seen
# late. What fails alone has failed; what passes only alone is named, as a defect to mend.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=(.venv/bin/python -m pytest "$@")

"${pytest[@]}"
verdict=$?
if [ "$verdict" != 1 ]; then exit "$verdict"; fi # passed, interrupted, or nothing to run

printf '\nWhat failed, once more, alone:\n\n'
"${pytest[@]}" -n 0 --dist no --last-failed --last-failed-no-failures none --maxfail 3 -vv
verdict=$?
if [ "$verdict" = 0 ]; then printf '\nThese passed only when they ran alone: a defect, to be mended.\n'; fi
exit "$verdict"
