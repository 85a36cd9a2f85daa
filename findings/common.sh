# Each finding sources this file: it sets up Python with pinned packages in a temporary folder, deleted at the end.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

# with_packages NAME==VERSION ... : afterwards, `python` runs with these packages only.
with_packages() {
  python3 -m venv "$work/venv"
  "$work/venv/bin/python" -m pip install --quiet "$@"
  python() { "$work/venv/bin/python" "$@"; }
}
