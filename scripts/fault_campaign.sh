#!/usr/bin/env bash
# Attacks ssa-train at every place of a short run, or at a sample of them: the n-th file call fails,
# finds the disk full, moves half of its data or is the last one; the n-th allocation fails; ranks get
# signals from any moment on. Each time the program has to end as documented, and a resume has to end
# with the bits of the undisturbed run. docs/reliability.md has the results.
#
# usage: scripts/fault_campaign.sh [--all | --sample SEED] [--tries N] [--only TEXT]
#
#   --all          every place: hours
#   --sample SEED  the sample that this number draws (default: today's date, such as 20261129)
#   --tries N      tries of each attack (default: a few, as in the test suite)
#   --only TEXT    the attacks that have this text in their description
#
# Prints what did not hold, then a table. Exit code: 0 if everything held, 1 if not, 2 for a wrong
# option. Needs a build.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
refuse() { echo "fault_campaign: $*" >&2; exit 2; }
number() { [[ ${2-} =~ ^[1-9][0-9]*$ ]] || refuse "$1 takes a number from 1 up, not '${2-}'"; }

seed=$(date -u +%Y%m%d) tries=""
while [ $# -gt 0 ]; do
  case "$1" in
    --all) tries=all; shift ;;
    --sample) number "$@"; seed=$2; shift 2 ;;
    --tries) number "$@"; tries=$2; shift 2 ;;
    --only) [ -n "${2-}" ] || refuse "--only takes a text"; export SSA_FAULT_ONLY=$2; shift 2 ;;
    -h|--help) usage; exit 0 ;;
    *) refuse "unknown option $1 (see --help)" ;;
  esac
done
tests=build/release/bin/ssa_apps_tests
[ -x "$tests" ] || refuse "$tests is missing: build it first (scripts/test.sh)"

table=$(mktemp)
trap 'rm -f "$table"' EXIT
export SSA_FAULT_SEED=$seed SSA_FAULT_TABLE=$table
if [ -n "$tries" ]; then export SSA_FAULT_TRIES=$tries; fi
status=0
"$tests" "[faults]" || status=1
if [ "$status" -eq 0 ] && [ ! -s "$table" ]; then
  refuse "no attack was made: none has '${SSA_FAULT_ONLY-}' in its description, or its tool is missing"
fi
echo "seed $seed, commit $(git -c safe.directory="$(pwd -P)" rev-parse --short HEAD 2>/dev/null || echo unknown)"
awk -F '\t' 'BEGIN { print "| attack | places | tries | survived |"; print "|---|---|---|---|" }
  { printf "| %s | %d | %d | %d |\n", $1, $2, $3, $4 }' "$table"
exit "$status"
