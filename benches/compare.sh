#!/usr/bin/env bash
# Runs session-doctor beside programs that read the same bytes, one after the other, and prints how fast each was.
#
#   benches/compare.sh              samples that are made for it (the shapes of benches/samples.rs)
#   benches/compare.sh LOG TREE     a log and a folder of Claude Code transcripts of your own
#
# Best of $RUNS (5) runs each, in GB of input a second of wall clock, and as a ratio to `wc -l` on the same input, which
# is what a machine can do at all. Programs that are not installed are left out, and named. ccusage is taken from PATH, or
# from $CCUSAGE; so is session-doctor ($SESSION_DOCTOR; else the release build is made).
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

doctor=${SESSION_DOCTOR:-}
if [[ -z $doctor ]]; then
  cargo build --release --quiet
  doctor=${CARGO_TARGET_DIR:-target}/release/session-doctor
fi
ccusage=${CCUSAGE:-$(command -v ccusage || true)}

log=${1:-}
tree=${2:-}
if [[ -z $log ]]; then
  cargo bench --quiet --bench write_samples -- "$work"
  log=$work/plain.log
  tree=$work/tree
fi
# One file of all transcripts, and ccusage's idea of a home with the same ones in it.
find "$tree" -name '*.jsonl' -type f -print0 | sort -z | xargs -0 cat >"$work/all.jsonl"
mkdir -p "$work/home/.claude/projects"
cp -r "$tree" "$work/home/.claude/projects/sample"

# What the rules wait for, as fixed strings, for those who search for fixed strings.
grep -hoE "^(line_)?stems = \[.*\]" src/engine/classify/rules.toml | grep -oE '"([^"\\]|\\.)*"' | sed 's/^"//; s/"$//; s/\\"/"/g' |
  sort -u >"$work/literals"

# measure NAME BYTES COMMAND…: the best wall clock and its processor time.
measure() {
  local name=$1 bytes=$2 best='' user=''
  shift 2
  for ((run = 0; run < runs; run++)); do
    local took
    took=$({ TIMEFORMAT='%R %U'; time "$@" >/dev/null 2>&1 || true; } 2>&1)
    if [[ -z $best ]] || awk "BEGIN { exit !(${took% *} < $best) }"; then best=${took% *} user=${took#* }; fi
  done
  [[ $name == 'wc -l' ]] && reference=$best
  awk -v name="$name" -v bytes="$bytes" -v best="$best" -v user="$user" -v reference="$reference" 'BEGIN {
    if (best < 0.001) best = 0.001
    printf "  %-44s %7.2f GB/s  %6.2f s  (%5.2f s of processor)  %6.3f of wc -l\n", name, bytes / best / 1e9, best, user, reference / best
  }'
}

# peer PROGRAM NAME BYTES COMMAND…: the same, if the program is there.
peer() {
  local program=$1
  shift
  if command -v "$program" >/dev/null; then measure "$@"; else printf '  %-44s not installed\n' "$1"; fi
}

size() { stat -Lc %s "$1" 2>/dev/null || stat -Lf %z "$1"; }

printf '%s, %s processors\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | sort -u | head -1)" "$(nproc 2>/dev/null || sysctl -n hw.ncpu)"

bytes=$(size "$log")
printf '\nplain text: %s, %s literals for those who search\n' "$(awk "BEGIN { printf \"%.0f MB\", $bytes / 1e6 }")" "$(wc -l <"$work/literals" | tr -d ' ')"
measure 'wc -l' "$bytes" wc -l "$log"
measure 'session-doctor tap --threads 1' "$bytes" "$doctor" tap --threads 1 "$log"
measure 'session-doctor tap' "$bytes" "$doctor" tap "$log"
peer rg 'rg -c -i -F -f literals -j 1' "$bytes" rg -c -i -F -f "$work/literals" -j 1 "$log"
peer grep 'grep -c -i -F -f literals' "$bytes" grep -c -i -F -f "$work/literals" "$log"
peer grep "grep -c -i 'rate limit'" "$bytes" grep -c -i 'rate limit' "$log"

bytes=$(size "$work/all.jsonl")
printf '\ntranscripts, one file: %s\n' "$(awk "BEGIN { printf \"%.0f MB\", $bytes / 1e6 }")"
measure 'wc -l' "$bytes" wc -l "$work/all.jsonl"
measure 'session-doctor tap --threads 1' "$bytes" "$doctor" tap --threads 1 "$work/all.jsonl"
measure 'session-doctor tap' "$bytes" "$doctor" tap "$work/all.jsonl"
peer rg 'rg -c -i -F -f literals -j 1' "$bytes" rg -c -i -F -f "$work/literals" -j 1 "$work/all.jsonl"
peer jq 'jq -c .type' "$bytes" jq -c .type "$work/all.jsonl"

printf '\ntranscripts, a tree of %s files\n' "$(find "$tree" -name '*.jsonl' -type f | wc -l | tr -d ' ')"
measure 'wc -l' "$bytes" find "$tree" -name '*.jsonl' -type f -exec wc -l {} +
measure 'session-doctor tap' "$bytes" "$doctor" tap "$tree"
if [[ -n $ccusage ]]; then
  measure 'ccusage session --offline --json' "$bytes" env HOME="$work/home" "$ccusage" session --offline --json
else
  printf '  %-44s not installed\n' 'ccusage session --offline --json'
fi

printf '\nstart-up, one line in\n'
printf 'API Error: 529 Overloaded\n' >"$work/line"
starts() { for ((n = 0; n < 100; n++)); do "$doctor" tap "$work/line"; done; }
nothing() { for ((n = 0; n < 100; n++)); do /bin/true; done; }
took=$({ TIMEFORMAT='%R'; time starts >/dev/null; } 2>&1)
empty=$({ TIMEFORMAT='%R'; time nothing >/dev/null; } 2>&1)
awk "BEGIN { printf \"  session-doctor tap: %.1f ms a run; /bin/true: %.1f ms\n\", $took * 10, $empty * 10 }"
