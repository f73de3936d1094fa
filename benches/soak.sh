#!/bin/sh
# Restarts an agent that fails in turn with a limit of some seconds, a crash and an overload, and prints every minute what
# `wrap --act` takes of the system: none of the figures may grow.
#
#     benches/soak.sh [MINUTES] [PROGRAM]     30 minutes of target/debug/session-doctor, unless told otherwise
#
# Ends with status 1 if the program ended, or if descriptors, threads or processes that nobody collected were more in the
# last minute than in the first. Resident memory is printed for people to judge.
set -eu
minutes=${1:-30}
program=$(realpath "${2:-target/debug/session-doctor}")
agent=$(realpath "$(dirname "$0")/../fixtures/agents/scripted.py")
place=$(mktemp -d)
wrap=
trap '[ -z "$wrap" ] || kill "$wrap" 2>/dev/null || :; rm -rf "$place"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cp "$agent" "$place/claude"
# 256 starts within six hours are the most there may be: the longer the soak, the longer the limit.
seconds=$((minutes * 60 * 3 / 240 - 2))
[ "$seconds" -ge 1 ] || seconds=1
limit='[["init",0],["works","a"],["limit",'$seconds'],["exits",1]]'
crash='[["init",0],["works","a"],["leaves",0],["crashes",0]]'
overload='[["init",0],["works","a"],["overloaded",0],["exits",1]]'
# More starts than there will be.
printf '[' > "$place/script.json"
for _ in $(seq 100); do printf '%s,%s,%s,' "$limit" "$crash" "$overload"; done >> "$place/script.json"
printf '%s]' "$limit" >> "$place/script.json"
cat > "$place/config.toml" <<END
reset_margin_sec = 0
backoff_base_sec = 0
backoff_max_sec = 0
long_backoff_base_sec = 1
long_backoff_max_sec = 1
END

cd "$place"
HOME=$place "$program" --config config.toml wrap --act --max-restarts 100000 --events events -- \
    "$place/claude" -p task --output-format stream-json --verbose > output 2> words < /dev/null &
wrap=$!

figures() {
    rss=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$wrap/status")
    threads=$(sed -n 's/^Threads:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$wrap/status")
    descriptors=$(ls "/proc/$wrap/fd" | wc -l)
    # Those of the pipe between two attempts come and go: what the lowest of a second is counts.
    zombies=$(ps -o stat= --ppid "$wrap" | grep -c '^Z' || :)
    starts=$(wc -l < starts.jsonl)
}

printf '%6s %8s %8s %8s %8s %8s\n' minute 'rss/kB' fds threads zombies starts
first=
for minute in $(seq "$minutes"); do
    sleep 60
    kill -0 "$wrap" 2>/dev/null || { echo "it ended:"; tail -n 3 words; wrap=; exit 1; }
    lowest_fds=1000000 lowest_threads=1000000 lowest_zombies=1000000
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        figures
        [ "$descriptors" -ge "$lowest_fds" ] || lowest_fds=$descriptors
        [ "$threads" -ge "$lowest_threads" ] || lowest_threads=$threads
        [ "$zombies" -ge "$lowest_zombies" ] || lowest_zombies=$zombies
        sleep 0.1
    done
    printf '%6s %8s %8s %8s %8s %8s\n' "$minute" "$rss" "$lowest_fds" "$lowest_threads" "$lowest_zombies" "$starts"
    last="$lowest_fds $lowest_threads $lowest_zombies"
    first=${first:-$last}
done
for pair in $(echo "$first $last" | awk '{ for (i = 1; i <= 3; i++) print $i ":" $(i + 3) }'); do
    # One of each may be there or not at the moment of looking.
    [ "${pair#*:}" -le $((${pair%:*} + 2)) ] || { echo "it grows: $pair"; exit 1; }
done
