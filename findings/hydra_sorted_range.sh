#!/usr/bin/env bash
# hydra-core 1.3.8: sorting a range in a sweep changes its values.
#
# Surprise: `sort(range(a,b,s))` does not sort the values of the range. It exchanges its two ends and turns the sign of
# the step, which gives the same values only if the last value is exactly one step before the end. Otherwise, the sweep
# runs values that the user did not write, outside the range: -3 for a range from 0 to 9, or 12 for a range from 10 down
# to 0. Nothing warns. `sort` of the same values as a list, and `shuffle` of the same range, give the right values.
#
# Why it matters here: a sweep over layers, widths or steps that sorts a range to start with the largest model trains
# other models than those typed, and the report compares them.
#
# Seen with hydra-core 1.3.8, Python 3.11 on 2026-12-01:
#   range(0,9,4)                       0, 4, 8
#   sort(range(0,9,4),reverse=true)    5, 1, -3
#   sort(0,4,8,reverse=true)           8, 4, 0
#   range(10,0,-3)                     10, 7, 4, 1
#   sort(range(10,0,-3))               3, 6, 9, 12
source "$(dirname "$0")/common.sh"
with_packages hydra-core==1.3.8
python - <<'P'
from hydra.core.override_parser.overrides_parser import OverridesParser

EXPECTED = {
    "range(0,9,4)": [0, 4, 8],
    "sort(range(0,9,4),reverse=true)": [5, 1, -3],
    "sort(0,4,8,reverse=true)": [8, 4, 0],
    "range(10,0,-3)": [10, 7, 4, 1],
    "sort(range(10,0,-3))": [3, 6, 9, 12],
}
parser = OverridesParser.create()
for sweep, expected in EXPECTED.items():
    values = list(parser.parse_override(f"model.n_layers={sweep}").sweep_iterator())
    print(f"{sweep:34} {', '.join(map(str, values))}")
    assert [int(v) for v in values] == expected
P
