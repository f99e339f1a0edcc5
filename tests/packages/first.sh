#!/usr/bin/env bash
# A hub, a worker made of a command, and a dispatch, by the installed command alone.
#
#   tests/packages/first.sh MOORLINE
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2; }
moorline=$1
folder=$(mktemp -d)
children=()
end() {
  [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
  wait
  rm -rf "$folder"
}
trap end EXIT

cat >"$folder/worker.toml" <<'TOML'
[[command]]
capability = "Echo"
action = "Say"
argv = ["cat"]
input = "stdin"
TOML

mkfifo "$folder/said"
"$moorline" hub --listen 127.0.0.1:0 >"$folder/said" 2>"$folder/hub.log" &
children+=($!)
exec 3<"$folder/said"
read -r line <&3
url=${line##* }
"$moorline" worker --config "$folder/worker.toml" --url "$url" --name first >"$folder/worker.log" 2>&1 &
children+=($!)
"$moorline" dispatch Echo/Say --settings '{"Text":"hello"}' --timeout 10s --url "$url" >"$folder/answer" ||
  { cat "$folder"/*.log >&2; exit 1; }
grep -q hello "$folder/answer" || { cat "$folder/answer" >&2; exit 1; }
echo hello
