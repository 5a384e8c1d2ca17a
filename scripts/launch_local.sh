#!/usr/bin/env bash
# Runs a program on several ranks of this machine, and again if it fails.
#
# usage: scripts/launch_local.sh -n N [options] [--] PROGRAM [ARGUMENT…]
#
#   -n N             ranks
#   --threads T      threads per rank (default: OMP_NUM_THREADS, else the cores divided among them)
#   --restarts N     how often a failed job is started again (default: 0), if one of its ranks was
#                    killed or stopped answering (a signal, exit code 6). ssa-train then continues from
#                    its last checkpoint (--resume auto). Exit codes 1 to 5 are not restarted: such a
#                    job would fail again
#   --pause S        seconds before the first restart, doubled before each further one (default: 5)
#   --grace S        seconds that the other ranks get to end when one has failed. Stopped ones never
#                    end by themselves (default: 30)
#   --launcher WHAT  mpirun, or environment: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR
#                    and MASTER_PORT (default: mpirun where there is one)
#
# PROGRAM is looked for on PATH, then in build/release/bin. SIGINT, SIGTERM, SIGHUP and SIGUSR1 ask the
# ranks to stop: ssa-train saves and ends with 75. Exit code: the job's.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
exec 3>&2  # finish() closes standard error, where bash would report killed processes
say() { echo "launch_local: $*" >&3; }
refuse() { say "$*"; exit 2; }

ranks="" threads="" restarts=0 pause=5 grace=30 launcher=""
while [ $# -gt 0 ]; do
  case "$1" in
    -n) ranks=${2:?-n needs a number}; shift 2 ;;
    --threads) threads=${2:?--threads needs a number}; shift 2 ;;
    --restarts) restarts=${2:?--restarts needs a number}; shift 2 ;;
    --pause) pause=${2:?--pause needs seconds}; shift 2 ;;
    --grace) grace=${2:?--grace needs seconds}; shift 2 ;;
    --launcher) launcher=${2:?--launcher needs mpirun or environment}; shift 2 ;;
    -h|--help) usage; exit 0 ;;
    --) shift; break ;;
    -*) refuse "unknown option $1 (see --help)" ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || refuse "no program to run (see --help)"
[[ $ranks =~ ^[1-9][0-9]*$ ]] || refuse "-n needs a number of ranks from 1 up, not '$ranks'"
for number in "$restarts" "$pause" "$grace"; do
  [[ $number =~ ^[0-9]+$ ]] || refuse "--restarts, --pause and --grace take numbers from 0 up, not '$number'"
done

cores=$(env -u OMP_NUM_THREADS nproc)
threads=${threads:-${OMP_NUM_THREADS:-$((cores / ranks > 0 ? cores / ranks : 1))}}
[[ $threads =~ ^[1-9][0-9]*$ ]] || refuse "--threads: '$threads' is no number from 1 up"
export OMP_NUM_THREADS=$threads
# Threads that wait must not burn the cores of other ranks.
if [ -z "${OMP_WAIT_POLICY:-}" ]; then export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-20000}; fi

name=$(basename "$1")
program=$(command -v "$1" || true)
built=$(dirname "$0")/../build/release/bin/$1
if [ -z "$program" ] && [ -x "$built" ]; then program=$built; fi
[ -n "$program" ] || refuse "there is no program $1, here or in build/release/bin"
command=("$program" "${@:2}")

if [ -z "$launcher" ]; then
  launcher=environment
  if command -v mpirun >/dev/null; then launcher=mpirun; fi
fi
mpirun_options=(-n "$ranks")
case "$launcher" in
  environment) ;;
  mpirun)
    command -v mpirun >/dev/null || refuse "there is no mpirun on PATH: --launcher environment does without"
    if [[ $(mpirun --version 2>&1) == *"Open MPI"* ]]; then
      # Its own binding would put all threads of a rank on one core.
      mpirun_options+=(--bind-to none)
      if [ "$ranks" -gt "$cores" ]; then mpirun_options+=(--oversubscribe); fi
      if [ "$(id -u)" -eq 0 ]; then  # containers have no other user
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
      fi
    fi ;;
  *) refuse "--launcher $launcher: there are mpirun and environment" ;;
esac

# A port that nobody listens on now. Below those that the system hands out itself.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
  done
}

stopping=""  # the signal that asked for it
for signal in INT TERM HUP USR1; do
  # shellcheck disable=SC2064  # the signal's name of now
  trap "stopping=$signal" "$signal"
done

processes=()  # mpirun, or the ranks
# In sessions of their own, so that Ctrl-C comes to them through ask_to_stop alone.
start() {
  processes=()
  if [ "$launcher" = mpirun ]; then
    setsid mpirun "${mpirun_options[@]}" "${command[@]}" </dev/null 3>&- &
    processes=($!)
    return
  fi
  local rank port=${MASTER_PORT:-$(free_port)}
  for ((rank = 0; rank < ranks; ++rank)); do
    RANK=$rank WORLD_SIZE=$ranks LOCAL_RANK=$rank LOCAL_WORLD_SIZE=$ranks \
      MASTER_ADDR=127.0.0.1 MASTER_PORT=$port setsid "${command[@]}" </dev/null 3>&- &
    processes+=($!)
  done
}

# mpirun passes SIGUSR1 on to the ranks; at SIGTERM and SIGINT it kills them while they save.
ask_to_stop() {
  local process
  say "SIG$stopping: asking the ranks to stop"
  for process in "${processes[@]}"; do kill -USR1 "$process" || true; done
}

# "exit code 3", "killed by SIGKILL"
ending() {
  if [ "$1" -gt 128 ]; then echo "killed by SIG$(kill -l $(($1 - 128)))"; else echo "exit code $1"; fi
}

# How much an exit code says of why a job ended: 0, 75, 6, killed, others.
weight() {
  case $1 in
    0) echo 0 ;;
    75) echo 1 ;;
    6) echo 2 ;;
    *) if [ "$1" -gt 128 ]; then echo 3; else echo 4; fi ;;
  esac
}

# Takes the exit code of the ended process number $1 into account.
note_end() {
  local own=0
  wait "${processes[$1]}" || own=$?
  if [ "$(weight "$own")" -gt "$(weight "$code")" ]; then code=$own; fi
  [ "$(weight "$own")" -ge 2 ] || return 0
  failed_at=${failed_at:-$SECONDS}
  if [ "$launcher" = environment ]; then say "rank $1: $(ending "$own")"; fi
}

# Waits for all processes; the job's exit code is then in $code.
finish() {
  local number asked="" left=("${!processes[@]}") waiting
  code=0 failed_at=""
  while :; do
    waiting=()
    for number in "${left[@]}"; do
      if kill -0 "${processes[$number]}"; then
        waiting+=("$number")
      else
        note_end "$number"
      fi
    done
    left=("${waiting[@]}")
    [ ${#left[@]} -gt 0 ] || return 0
    if [ -n "$stopping" ] && [ -z "$asked" ]; then asked=yes; ask_to_stop; fi
    if [ -n "$failed_at" ] && [ $((SECONDS - failed_at)) -gt "$grace" ]; then
      for number in "${left[@]}"; do kill -KILL "${processes[$number]}" || true; done
    fi
    sleep 0.2 || true
  done
} 2>/dev/null

# Ends like this come from outside, and need not come again.
may_be_restarted() { [ "$1" -eq 6 ] || [ "$1" -gt 128 ]; }

# The command with --resume auto in place of what it may have said.
go_on_from_checkpoint() {
  local kept=() skip="" word
  for word in "${command[@]}"; do
    if [ -n "$skip" ]; then skip=""; continue; fi
    case "$word" in
      --resume) skip=yes ;;
      --resume=*) ;;
      *) kept+=("$word") ;;
    esac
  done
  command=("${kept[@]}" --resume auto)
}

say "$ranks ranks of $name by $launcher; threads of each: $threads; cores: $cores"
for ((restart = 1; ; ++restart)); do
  start
  finish
  if [ "$code" -ne 0 ]; then say "the job ended: $(ending "$code")"; fi
  if [ -n "$stopping" ] || ! may_be_restarted "$code"; then exit "$code"; fi
  if [ "$restart" -gt "$restarts" ]; then
    if [ "$restarts" -gt 0 ]; then say "giving up: restarted $restarts times already"; fi
    exit "$code"
  fi
  if [ "$name" = ssa-train ]; then go_on_from_checkpoint; fi
  say "restart $restart of $restarts in $pause s"
  for ((until = SECONDS + pause; SECONDS < until; )); do
    sleep 0.2 || true
    if [ -n "$stopping" ]; then exit 75; fi
  done
  pause=$((2 * pause))
done
