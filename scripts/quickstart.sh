#!/usr/bin/env bash
# From a fresh clone to a trained model and its report, in one command: sets up, builds, finds text,
# trains a small byte-level decoder with subsampled attention (S6-L4+FT), scores it dense and as an
# ensemble, lets it write a little, and says where the report is.
#
# usage: scripts/quickstart.sh [--data FILE] [--run-dir DIR] [--short]
#
#   --data FILE    text to learn, plain or packed (zip, gz, xz, zst, tar)
#   --run-dir DIR  where the run goes (default: runs/quickstart-DATE-TIME)
#   --short        a few steps only, to see that everything works
#
# Without --data: Enwik8 from $SSA_DATA_DIR; else downloaded; else, without a network, the English
# text that every Debian has in /usr/share/common-licenses and /usr/share/doc.
set -euo pipefail
cd "$(dirname "$0")/.."

data="" short=false run_dir=runs/quickstart-$(date +%Y%m%d-%H%M%S)
while [ $# -gt 0 ]; do
  case "$1" in
    --data) data=${2:?--data needs a file}; shift 2 ;;
    --run-dir) run_dir=${2:?--run-dir needs a folder}; shift 2 ;;
    --short) short=true; shift ;;
    -h|--help) sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "quickstart: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
say() { printf '\n== %s\n' "$*"; }

say "1/6 dependencies and build"
scripts/setup.sh
# shellcheck disable=SC2086 # several arguments on purpose
cmake --preset release ${SSA_CMAKE_ARGS:-} >/dev/null
cmake --build --preset release --target ssa-train ssa-eval ssa-data ssa-generate ssa-report
bin=build/release/bin
work=build/quickstart
mkdir -p "$work"

say "2/6 text"
download="" name=enwik8
inputs=()
if [ -n "$data" ]; then
  echo "taking $data, as asked"
  inputs=("$data") name=bytes
elif [ -n "${SSA_DATA_DIR:-}" ] && compgen -G "$SSA_DATA_DIR/enwik8*" >/dev/null; then
  inputs=("$(compgen -G "$SSA_DATA_DIR/enwik8*" | head -n 1)")
  echo "taking ${inputs[0]}, found in \$SSA_DATA_DIR"
else
  download=$work/enwik8.zip
  if [ -s "$download" ] || { echo "downloading Enwik8 (36 MB)" &&
      curl -fsSL --connect-timeout 10 --max-time 600 -o "$download.partial" \
        http://mattmahoney.net/dc/enwik8.zip && mv "$download.partial" "$download"; }; then
    inputs=("$download")
    echo "taking the official Enwik8, downloaded"
  else
    name=bytes
    while IFS= read -r file; do inputs+=("$file"); done < <(
      find /usr/share/common-licenses -type f -size +4k | sort
      find /usr/share/doc -type f \( -name 'README*' -o -name 'NEWS*' -o -name 'changelog.gz' \
        -o -name 'copyright' \) -size +8k 2>/dev/null | sort | head -n 400)
    if [ ${#inputs[@]} -eq 0 ]; then
      echo "quickstart: no network and no text on this machine; give some with --data FILE" >&2
      exit 3
    fi
    echo "no network: taking the English text of this Debian (${#inputs[@]} files of licences and" \
         "documentation). Numbers from it do not compare with Enwik8's."
  fi
fi
arguments=()
for input in "${inputs[@]}"; do arguments+=(--input "$input"); done
if [ ${#inputs[@]} -eq 1 ] && [ -f "${inputs[0]}/dataset.json" ]; then
  text=${inputs[0]}  # prepared already
else
  text=$work/data
  "$bin/ssa-data" prepare "$name" "${arguments[@]}" --output "$text"
fi
"$bin/ssa-data" info "$text"

say "3/6 training S6-L4+FT"
settings=(data.path="$text")
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
