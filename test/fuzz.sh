#!/usr/bin/env bash
# Runs every fuzz target of the module for the time given, default 15s, or those
# whose names match a pattern, and fails with the first that finds something. New
# targets need no listing. Minimising what is merely interesting would take most
# of so short a run.
set -euo pipefail
time=${1:-15s}
pattern=${2:-.*}
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# fuzz runs one target. Go before 1.27 may take the end of the time itself for a
# failure, on a busy machine (go.dev/issue/75804): then there is no input that
# failed, nothing but "context deadline exceeded", and the target runs again.
fuzz() {
	local package=$1 target=$2
	for attempt in 1 2 3; do
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1x "$package" 2>&1 | tee "$output" && return
		grep -qx '    context deadline exceeded' "$output" || return
		! grep -qE 'Failing input|seed corpus|panic|fuzzing process' "$output" || return
		echo "fuzz: $target found nothing, but its time ended in the middle of a call (attempt $attempt of 3)"
	done
	return 1
}

count=0
while IFS=: read -r file target; do
	package=./$(dirname "$file")
	echo "fuzz: $package $target $time"
	fuzz "$package" "$target"
	count=$((count + 1))
done < <(git ls-files -co --exclude-standard '*_test.go' | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //' | grep -E ":$pattern\$")
[ "$count" -gt 0 ] || { echo "fuzz: no targets found" >&2; exit 1; }
echo "fuzz: $count targets"
