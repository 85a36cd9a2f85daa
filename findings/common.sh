# Used by every finding: a Python with pinned packages in a temporary folder, deleted at the end.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

# with_packages NAME==VERSION ... : `python` below runs with these packages and nothing else.
with_packages() {
  python3 -m venv "$work/venv"
  "$work/venv/bin/python" -m pip install --quiet "$@"
  python() { "$work/venv/bin/python" "$@"; }
}
