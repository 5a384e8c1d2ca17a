#!/usr/bin/env bash
# From a fresh clone to a trained model and its report, in one command: sets up, builds, finds text,
# trains a small byte-level decoder with subsampled attention (S6-L4+FT), scores it dense and as an
# ensemble, generates a sample, and prints where the report is.
#
# usage: scripts/quickstart.sh [--data FILE] [--run-dir DIR] [--short]
#
#   --data FILE    text to learn, plain or packed (zip, gz, xz, zst, tar), or a prepared folder
#   --run-dir DIR  where the run goes (default: runs/quickstart-DATE-TIME of the repository)
#   --short        a few steps only, to see that everything works
#
# Without --data it takes Enwik8 from $SSA_DATA_DIR, or downloads it. Without a network it takes the
# English text that every Debian has in /usr/share/common-licenses and /usr/share/doc.
set -euo pipefail

# Paths count from the caller's folder. They are made absolute for the run's config, so that the run
# can be resumed and scored from anywhere.
data="" short=false run_dir=""
while [ $# -gt 0 ]; do
  case "$1" in
    --data) data=$(realpath -m -- "${2:?--data needs a file}"); shift 2 ;;
    --run-dir) run_dir=$(realpath -m -- "${2:?--run-dir needs a folder}"); shift 2 ;;
    --short) short=true; shift ;;
    -h|--help) sed -n '2,13p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "quickstart: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
if [ -n "$data" ] && [ ! -r "$data" ]; then
  echo "quickstart: --data $data: no such file, or not readable" >&2
  exit 3
fi
if [ -n "${SSA_DATA_DIR:-}" ]; then
  SSA_DATA_DIR=$(realpath -m -- "$SSA_DATA_DIR")
  export SSA_DATA_DIR
fi
# Threads that wait for each other spin only briefly: on a busy machine the default costs a lot, on a
# quiet one this costs nothing that could be measured.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-20000}
cd "$(dirname "$0")/.."
run_dir=${run_dir:-$PWD/runs/quickstart-$(date +%Y%m%d-%H%M%S)}
bin=$PWD/build/release/bin
work=$PWD/build/quickstart
say() { printf '\n== %s\n' "$*"; }

say "1/6 dependencies and build"
scripts/setup.sh
# shellcheck disable=SC2086 # several arguments on purpose
cmake --preset release ${SSA_CMAKE_ARGS:-} >/dev/null
cmake --build --preset release --target ssa-train ssa-eval ssa-data ssa-generate ssa-report
mkdir -p "$work"

# prepare NAME INPUT: sets $text to the prepared folder. Each text has a folder of its own, named by
# its checksum: what an earlier run's config names stays as it was.
prepare() {
  local name=$1 input=$2 key code=0
  if [ -f "$input/dataset.json" ]; then
    text=$input
    return
  fi
  key=$(find -L "$input" -maxdepth 1 -type f -print0 | sort -z | xargs -0r cat | sha256sum)
  text=$work/data-$name-${key:0:12}
  if [ -f "$text/dataset.json" ]; then return; fi
  "$bin/ssa-data" prepare "$name" --input "$input" --output "$text" >/dev/null || code=$?
  if [ "$code" -eq 75 ]; then exit "$code"; fi  # interrupted: not a reason to try another text
  return "$code"
}

# What came may be a login page instead of Enwik8: only what can be prepared is kept.
download_enwik8() {
  local file=$work/enwik8.zip
  if [ ! -s "$file" ]; then
    echo "downloading Enwik8 (36 MB)"
    curl -fsSL --connect-timeout 10 --max-time 600 -o "$file.partial" \
      http://mattmahoney.net/dc/enwik8.zip && mv "$file.partial" "$file" || return
  fi
  if ! prepare enwik8 "$file"; then
    rm -f "$file"
    return 1
  fi
}

# Writes at most 20 MB of this Debian's licences and documentation to a file. In the order of their
# checksums: that leaves out copies, and mixes, so that each split has some of everything. What
# cannot be unpacked or is no text is left out.
collect_local_text() {
  local one=$work/one.txt file sum
  while IFS= read -r file; do
    if zcat -f -- "$file" >"$one" 2>/dev/null && LC_ALL=C grep -qI . "$one"; then
      sum=$(sha256sum <"$one")
      printf '%s %s\n' "${sum%% *}" "$file"
    fi
  done < <(find /usr/share/common-licenses /usr/share/doc -type f -size +4k -readable \
      \( -path '*/common-licenses/*' -o -name 'README*' -o -name 'NEWS*' -o -name 'changelog*' \
      -o -name copyright \) 2>/dev/null | sort | head -n 1000) |
    sort -u -k1,1 | cut -d' ' -f2- >"$work/local-files.txt"
  while IFS= read -r file; do
    zcat -f -- "$file" 2>/dev/null || break  # head has enough
  done <"$work/local-files.txt" | head -c 20000000 >"$1" || true
  rm -f "$one"
  [ "$(stat -c %s "$1")" -ge 100000 ]
}

say "2/6 text"
name="" text=""
if [ -z "$data" ] && [ -n "${SSA_DATA_DIR:-}" ]; then
  for file in "$SSA_DATA_DIR"/enwik8*; do
    if [ -e "$file" ]; then data=$file; break; fi
  done
fi
if [ -n "$data" ]; then
  echo "taking $data"
  case "$(basename "$data")" in
    enwik8*) name=enwik8; prepare enwik8 "$data" ;;
    *) name=text; prepare bytes "$data" ;;
  esac
elif download_enwik8; then
  name=enwik8
  echo "taking the official Enwik8, downloaded"
elif collect_local_text "$work/debian-texts.txt"; then
  name=debian-texts
  prepare bytes "$work/debian-texts.txt"
  echo "no Enwik8 to be had: taking the licences and documentation of this Debian. Numbers from" \
       "them do not compare with Enwik8's."
else
  echo "quickstart: no network and no text on this machine; give some with --data FILE" >&2
  exit 3
fi
"$bin/ssa-data" info "$text"

say "3/6 training S6-L4+FT"
settings=(data.path="$text" data.name="$name")
eval_bytes=65536 samples=10
if $short; then
  settings+=(train.steps=12 train.schedule.warmup_steps=4 train.eval_every=6 train.eval_tokens=4096
             train.log_every=2 train.checkpoint_every=6)
  eval_bytes=4096 samples=3
fi
"$bin/ssa-train" --config configs/enwik8_mini_s6_l4_ft.yaml --run-dir "$run_dir" \
  --set "${settings[@]}"

say "4/6 scoring both ways of inference on the first $eval_bytes bytes of the test split"
"$bin/ssa-eval" --run "$run_dir" --mode renorm --split test --max-tokens "$eval_bytes"
"$bin/ssa-eval" --run "$run_dir" --mode ensemble --samples "$samples" --split test \
  --max-tokens "$eval_bytes" --curve

say "5/6 a sample"
"$bin/ssa-generate" --run "$run_dir" --prompt "The " --length 300 --temperature 0.8 \
  --output "$run_dir/sample.txt"
cat "$run_dir/sample.txt"

say "6/6 report"
"$bin/ssa-report" "$run_dir" --output "$run_dir/report.html"
echo "open $(realpath "$run_dir/report.html") in a browser"
