#!/usr/bin/env bash
# Runs session-doctor beside programs that read the same bytes, one after the other, and prints how fast each was.
#
#   benches/compare.sh              samples that are made for it (the shapes of benches/samples.rs)
#   benches/compare.sh LOG TREE     a log and a folder of Claude Code transcripts of your own
#
# Two figures each, the best of $RUNS (5) runs: GB of input a second by the clock, and a second of processor (user and
# system, all threads together), which says the same on a machine that is busy with other things. Slow peers run once, on
# part of the input where they would take minutes. Programs that are not installed are left out, and named. ccusage is
# taken from PATH or $CCUSAGE; session-doctor from $SESSION_DOCTOR, else the release build is made.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

die() {
  printf 'error: %s\n' "$1" >&2
  exit 64
}

[[ $# == 0 || $# == 2 ]] || die 'give both a log and a folder of transcripts, or neither'
doctor=${SESSION_DOCTOR:-}
if [[ -z $doctor ]]; then
  cargo build --release --quiet
  doctor=${CARGO_TARGET_DIR:-target}/release/session-doctor
fi
[[ -x $doctor ]] || die "there is no program at $doctor"
ccusage=${CCUSAGE:-$(command -v ccusage || true)}

if [[ $# == 2 ]]; then
  log=$1 tree=$2
else
  # Not measured, so not worth an optimised build.
  cargo bench --quiet --profile dev --bench write_samples -- "$work"
  log=$work/plain.log tree=$work/tree
fi
[[ -f $log ]] || die "there is no log at $log"
[[ -d $tree ]] || die "there is no folder at $tree"
# ccusage's idea of a home with the same transcripts in it, and one file of all of them.
mkdir -p "$work/home/.claude/projects"
cp -R "$tree" "$work/home/.claude/projects/sample"
tree=$work/home/.claude/projects/sample
find "$tree" -name '*.jsonl' -type f -exec cat {} + >"$work/all.jsonl"
[[ -s $work/all.jsonl ]] || die "there are no transcripts (*.jsonl) in ${2:-$tree}"

# What the rules wait for, as fixed strings, for those who search for fixed strings.
grep -hoE '^(line_)?stems = \[.*\]' src/engine/classify/rules.toml | grep -oE '"([^"\\]|\\.)*"' | sed 's/^"//; s/"$//; s/\\"/"/g' |
  sort -u >"$work/literals"

# measure NAME BYTES COMMAND…: the best of the runs, by the clock and by the processor, each for itself. The output goes to
# a file: grep, for one, stops at the first match if nobody can see how many there are.
measure() {
  local name=$1 bytes=$2
  shift 2
  for ((run = 0; run < runs; run++)); do
    { TIMEFORMAT='%R %U %S'; time "$@" >"$work/out" 2>&1 || true; } 2>&1
  done | awk -v name="$name" -v bytes="$bytes" '
    { busy = $2 + $3 }
    NR == 1 || $1 < clock { clock = $1 }
    NR == 1 || busy < processor { processor = busy }
    END {
      if (clock < 0.001) clock = 0.001
      if (processor < 0.001) processor = 0.001
      printf "  %-38s %7.2f GB/s by the clock (%6.2f s) %7.2f GB/s of processor (%6.2f s)\n",
        name, bytes / clock / 1e9, clock, bytes / processor / 1e9, processor
    }'
}

# peer PROGRAM NAME BYTES COMMAND…: the same, if the program is there.
peer() {
  if command -v "$1" >/dev/null; then measure "${@:2}"; else printf '  %-38s not installed\n' "$2"; fi
}

# once …: a single run.
once() { runs=1 "$@"; }

size() { wc -c <"$1" | tr -d ' '; }
megabytes() { awk "BEGIN { printf \"%.0f MB\", $1 / 1e6 }"; }
head_of() { head -c $(($(size "$1") / 20)) "$1"; }

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)
[[ -n $processor ]] || processor=$(sysctl -n machdep.cpu.brand_string 2>/dev/null || uname -m)
printf '%s, %s threads, load %s\n' "$processor" "$(getconf _NPROCESSORS_ONLN)" "$(uptime | sed 's/.*averages*: *//')"

bytes=$(size "$log")
head_of "$log" >"$work/part.log"
part=$(size "$work/part.log")
printf '\nplain text: %s; %s literals for those who search\n' "$(megabytes "$bytes")" "$(wc -l <"$work/literals" | tr -d ' ')"
measure 'wc -l' "$bytes" wc -l "$log"
measure 'session-doctor tap --threads 1' "$bytes" "$doctor" tap --threads 1 "$log"
measure 'session-doctor tap' "$bytes" "$doctor" tap "$log"
peer rg 'rg -j 1 -c -i -F -f literals' "$bytes" rg -j 1 -c -i -F -f "$work/literals" "$log"
peer grep "grep -c -i 'rate limit'" "$bytes" grep -c -i 'rate limit' "$log"
once peer grep 'grep -c -i -F -f literals (1/20)' "$part" grep -c -i -F -f "$work/literals" "$work/part.log"

bytes=$(size "$work/all.jsonl")
head_of "$work/all.jsonl" >"$work/part.jsonl"
part=$(size "$work/part.jsonl")
printf '\ntranscripts, one file: %s\n' "$(megabytes "$bytes")"
measure 'wc -l' "$bytes" wc -l "$work/all.jsonl"
measure 'session-doctor tap --threads 1' "$bytes" "$doctor" tap --threads 1 "$work/all.jsonl"
measure 'session-doctor tap' "$bytes" "$doctor" tap "$work/all.jsonl"
peer rg 'rg -j 1 -c -i -F -f literals' "$bytes" rg -j 1 -c -i -F -f "$work/literals" "$work/all.jsonl"
once peer jq 'jq -c .type (1/20)' "$part" jq -c .type "$work/part.jsonl"

printf '\ntranscripts, a tree of %s files: %s\n' "$(find "$tree" -name '*.jsonl' -type f | wc -l | tr -d ' ')" "$(megabytes "$bytes")"
measure 'wc -l' "$bytes" find "$tree" -name '*.jsonl' -type f -exec wc -l {} +
measure 'session-doctor tap' "$bytes" "$doctor" tap "$tree"
measure 'session-doctor usage session' "$bytes" "$doctor" usage session --no-cache "$tree"
if [[ -n $ccusage ]]; then
  measure 'ccusage session --offline --json' "$bytes" env HOME="$work/home" "$ccusage" session --offline --json
else
  printf '  %-38s not installed\n' 'ccusage session --offline --json'
fi

printf '\nstart to end, one line in, best of %s times 20 runs\n' "$runs"
printf 'API Error: 529 Overloaded\n' >"$work/line"
starts() { for ((n = 0; n < 20; n++)); do "$@"; done; }
start_up() {
  for ((run = 0; run < runs; run++)); do
    { TIMEFORMAT='%R %U %S'; time starts "${@:2}" >/dev/null; } 2>&1
  done | awk -v name="$1" '
    { busy = $2 + $3 }
    NR == 1 || $1 < clock { clock = $1 }
    NR == 1 || busy < processor { processor = busy }
    END { printf "  %-38s %7.1f ms by the clock %7.1f ms of processor\n", name, clock * 50, processor * 50 }'
}
start_up 'session-doctor tap' "$doctor" tap "$work/line"
start_up 'true (a process that does nothing)' "$(type -P true)"
