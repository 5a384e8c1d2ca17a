#!/usr/bin/env bash
# Builds and checks ssa on a machine with an NVIDIA GPU, in stages that can be called one by one,
# and leaves one record (gpu_check.json) and one log (gpu_check.log). What such a machine lacks comes
# from the folder that scripts/gpu_bundle.sh made; where scripts/setup.sh has been run, none is
# needed for the build.
#
# usage: scripts/gpu_check.sh [options] [STAGE…]
#
#   build        configures and compiles the programs and the conformance tests
#   conformance  the conformance table on the GPU, then parts of it under compute-sanitizer
#   train        short runs on the GPU against the CPU's losses; resuming; scoring
#   bench        peaks of matmul and copy, attention, training steps, and PyTorch's
#   all          the four, in this order (default)
#
#   --output DIR  where record and log go (default: build/gpu_check); a later call adds to them
#   --work DIR    where the build and the runs go (default: build/gpu_check)
#   --bundle DIR  what scripts/gpu_bundle.sh made (default: build/gpu_bundle)
#   --arch LIST   GPUs to compile for, as in CMAKE_CUDA_ARCHITECTURES (default: this machine's GPU,
#                 or 90a-real where there is none)
#   --limit S     seconds a stage may take (default: 570)
#   --total S     seconds that all stages of this call may take together (default: no limit)
#   --keep        also put the record into bench/results, by date and GPU
#   -j N          compilers at once (default: all cores)
#
# Without a GPU `build` works wherever nvcc is, and the other stages are skipped. Exit code 0: all
# that ran is well; 1: something failed (the record says what); 2: wrong usage.
set -euo pipefail

usage() { sed -n '2,26p' "$0" | sed 's/^# \{0,1\}//'; }
refuse() { echo "gpu_check: $*" >&2; exit 2; }
output="" work="" bundle="" arch="" limit=570 total=1000000 keep=false jobs=$(nproc) stages=()
while [ $# -gt 0 ]; do
  case "$1" in
    --output) output=$(realpath -m -- "${2:?--output needs a folder}"); shift 2 ;;
    --work) work=$(realpath -m -- "${2:?--work needs a folder}"); shift 2 ;;
    --bundle) bundle=$(realpath -m -- "${2:?--bundle needs a folder}"); shift 2 ;;
    --arch) arch=${2:?--arch needs a list}; shift 2 ;;
    --limit) limit=${2:?--limit needs seconds}; shift 2 ;;
    --total) total=${2:?--total needs seconds}; shift 2 ;;
    --keep) keep=true; shift ;;
    -j) jobs=${2:?-j needs a number}; shift 2 ;;
    -h|--help) usage; exit 0 ;;
    build|conformance|train|bench) stages+=("$1"); shift ;;
    all) stages+=(build conformance train bench); shift ;;
    *) refuse "unknown stage or option $1 (see --help)" ;;
  esac
done
for number in "$limit" "$total" "$jobs"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || refuse "$number is no number of seconds or compilers"
done
[ ${#stages[@]} -gt 0 ] || stages=(build conformance train bench)
cd "$(dirname "$0")/.."
output=${output:-$PWD/build/gpu_check}
bundle=${bundle:-$PWD/build/gpu_bundle}
work=${work:-$PWD/build/gpu_check}
mkdir -p "$output" "$work"
record=$output/gpu_check.json log=$output/gpu_check.log
build=$work/build packages=$work/packages bin=$work/build/bin
failed=0

say() { printf '\n== %s  %s\n' "$(date +%H:%M:%S)" "$*" | tee -a "$log"; }
# note KEY JSON: puts a value into the record. KEY is dotted.
note() { python3 bench/gpu_record.py "$record" "$1" "$2"; }
# noted_run KEY LIMIT COMMAND…: runs it for at most what is left of the stage's time and LIMIT
# seconds, with its output in the log; the record gets how it ended. Returns its exit code.
noted_run() {
  local key=$1 most=$2 left code=0 started=$SECONDS
  shift 2
  left=$((deadline - SECONDS))
  [ "$most" -le "$left" ] || most=$left
  if [ "$most" -lt 5 ]; then
    note "$key" '{"exit_code": null, "skipped": "no time left in this stage"}'
    say "$key: no time left"
    failed=1
    return 1
  fi
  say "$key: $*"
  if ! timeout --kill-after=10 "$most" "$@" 2>&1 | tee -a "$log"; then code=${PIPESTATUS[0]}; fi
  note "$key.exit_code" "$code"
  note "$key.seconds" $((SECONDS - started))
  case $code in
    0) ;;
    124|137) say "$key: stopped after $most s"; note "$key.stopped_after" "$most"; failed=1 ;;
    *) say "$key: failed with exit code $code"; failed=1 ;;
  esac
  return "$code"
}

PATH=$PATH:/usr/local/nvidia/bin
# The GPU's name and compute capability; nothing where there is none.
gpu=$(nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version \
      --format=csv,noheader,nounits 2>/dev/null | head -n 1) || gpu=""

find_cuda() {
  local folder
  if ! command -v nvcc >/dev/null; then
    for folder in "${CUDA_HOME:-}" /usr/local/cuda; do
      if [ -x "$folder/bin/nvcc" ]; then PATH=$folder/bin:$PATH; break; fi
    done
  fi
  command -v nvcc >/dev/null || {
    echo "gpu_check: no nvcc: put it on PATH or set CUDA_HOME" >&2; return 1; }
  cuda_home=$(dirname "$(dirname "$(realpath "$(command -v nvcc)")")")
}

# Libraries of the bundle, unpacked once.
unpack() {
  if [ ! -f "$bundle/packages.tar.xz" ]; then
    say "no bundle in $bundle: building with what this machine has"
    return
  fi
  if [ ! "$packages" -nt "$bundle/packages.tar.xz" ]; then
    rm -rf "$packages"
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
      "$bundle/packages.tar.xz" "$work"
    touch "$packages"
  fi
}
use_packages() {
  if [ -d "$packages/lib" ]; then
    export LD_LIBRARY_PATH=$packages/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  fi
}

# An architecture's own instructions where it has some: 9.0 becomes 90a.
architecture() {
  local capability
  capability=$(cut -d, -f2 <<<"$gpu" | tr -d ' .')
  case "$capability" in
    "") echo 90a-real ;;
    90) echo 90a-real ;;
    *) echo "$capability-real" ;;
  esac
}

stage_build() {
  find_cuda || return 1
  unpack
  use_packages
  local generator=() found=()
  if command -v ninja >/dev/null; then generator=(-G Ninja); fi
  if [ -d "$packages/lib" ]; then
    found=("-DCMAKE_PREFIX_PATH=$packages" -DCMAKE_FIND_PACKAGE_PREFER_CONFIG=ON
           "-DXXHASH_INCLUDE_DIR=$packages/include" "-DXXHASH_LIBRARY=$packages/lib/libxxhash.a")
  fi
  note build.nvcc "\"$(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')\""
  noted_run build.configure 120 cmake -S . -B "$build" "${generator[@]}" "${found[@]}" \
    -DCMAKE_BUILD_TYPE=Release -DSSA_CUDA=ON "-DSSA_CUDA_ARCHITECTURES=${arch:-$(architecture)}" \
    "-DCMAKE_CUDA_COMPILER=$(command -v nvcc)" "-DCUDAToolkit_ROOT=$cuda_home" || return
  # The kernels first: they take longest.
  noted_run build.compile "$limit" cmake --build "$build" -j "$jobs" --target \
    ssa_backend_cuda ssa_backend_cuda_tests ssa-train ssa-eval ssa-data ssa-bench || return
  noted_run build.spills 20 scripts/check_ptxas.sh "$build"
}

# needs_build PROGRAM…
needs_build() {
  local program
  for program in "$@"; do
    if [ ! -x "$bin/$program" ]; then
      say "no $bin/$program: run the stage build first"
      return 1
    fi
  done
}

# sanitized TOOL NAME LIMIT TESTS…: cases of the conformance table (Catch2's names) under one of
# compute-sanitizer's tools. It is tens of times slower, hence few cases, and a time of their own.
sanitized() {
  local tool=$1 name=$2 most=$3 cases
  shift 3
  cases=$(IFS=,; echo "$*")  # commas mean "or" to Catch2
  noted_run "conformance.sanitizer.$tool-$name" "$most" compute-sanitizer --tool "$tool" \
    --error-exitcode 9 --print-limit 20 "$tests" "$cases" || true
}

stage_conformance() {
  needs_build ssa_backend_cuda_tests || return 1
  use_packages
  tests=$bin/ssa_backend_cuda_tests
  noted_run conformance.table 240 "$tests" --durations yes || true
  if find_cuda; then PATH=$PATH:$cuda_home/bin:$cuda_home/compute-sanitizer; fi
  if ! command -v compute-sanitizer >/dev/null; then
    note conformance.sanitizer '"not run: compute-sanitizer is not on PATH"'
    say "no compute-sanitizer on PATH: not run"
    return 0
  fi
  sanitized memcheck attention 90 "attention and*" "attention gives*" "attention that reads on g*"
  sanitized memcheck graphs 60 "graph_attention*"
  sanitized memcheck rows 60 "layer norm*" "embedding*" "cross-entropy*" "column_sum*" \
    "masked_softmax*" "gather_rows*"
  sanitized memcheck rest 60 "add and*" "activations*" "dropout*" "copy*" "sums*" "Adam*" "SGD*" \
    "products of low*"
  sanitized racecheck attention 90 "attention and*" "attention gives*"
  sanitized racecheck graphs 60 "graph_attention*"
  sanitized racecheck rows 60 "layer norm*" "embedding and*" "cross-entropy and*" "column_sum*" \
    "masked_softmax and*" "sums*"
  sanitized initcheck attention 60 "attention gives*" "attention that reads on g*"
  sanitized initcheck rows 60 "layer norm*" "embedding and*" "Adam*"
}

stage_train() {
  needs_build ssa-train ssa-eval ssa-data || return 1
  use_packages
  local text=$bundle/text.xz reference=()
  [ -f "$text" ] || { say "no text: $text is missing (scripts/gpu_bundle.sh)"; return 1; }
  if [ -f "$bundle/cpu_reference.json" ]; then
    reference=(--reference "$bundle/cpu_reference.json")
  fi
  noted_run train.run "$limit" python3 bench/gpu_train.py --bin "$bin" --text "$text" \
    --work "$work/train" --device cuda --record "$record" "${reference[@]}"
}

stage_bench() {
  needs_build ssa-bench || return 1
  noted_run bench.run "$limit" python3 bench/gpu_speed.py --ssa-bench "$bin/ssa-bench" \
    --ssa-libraries "$packages/lib" --device cuda --record "$record" --seconds $((deadline - SECONDS - 20))
}

commit=$(git describe --always --dirty --abbrev=40 2>/dev/null ||
         cat "$bundle/commit" 2>/dev/null || echo unknown)
note date "\"$(date -u +%Y-%m-%dT%H:%M:%S+00:00)\""
note commit "\"$commit\""
note gpu "$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1] or None))' "$gpu")"
say "gpu_check ${stages[*]}: commit $commit, GPU: ${gpu:-none}"
for stage in "${stages[@]}"; do
  if [ -z "$gpu" ] && [ "$stage" != build ]; then
    say "$stage: skipped, this machine has no usable GPU (nvidia-smi finds none)"
    note "$stage" '{"skipped": "no GPU"}'
    continue
  fi
  note "$stage" '{}'
  deadline=$((SECONDS + limit))
  if [ "$deadline" -gt "$total" ]; then deadline=$total; fi
  case $stage in
    build) stage_build ;;
    conformance) stage_conformance ;;
    train) stage_train ;;
    bench) stage_bench ;;
  esac || { failed=1; note "$stage.failed" true; say "$stage: failed"; }
done
if $keep; then
  python3 bench/gpu_record.py "$record" --keep bench/results
fi
say "record: $record"
exit $failed
