#!/usr/bin/env bash
# Runs a CUDA compilation, and writes ptxas's report on kernels (-Xptxas -v) to OBJECT.ptxas instead
# of the terminal. usage: keep_ptxas_report.sh COMPILER ARGUMENTS... -o OBJECT ...
set -u
object=""
arguments=("$@")
for ((i = 0; i + 1 < $#; i++)); do
  if [ "${arguments[i]}" = "-o" ]; then object=${arguments[i + 1]}; fi
done
if [ -z "$object" ]; then exec "$@"; fi
said=$("$@" 2>&1)
status=$?
is_report='^ptxas info|bytes stack frame|^$'
grep -E "$is_report" <<<"$said" >"$object.ptxas"
grep -Ev "$is_report" <<<"$said" >&2
exit $status
