#!/usr/bin/env bash
# Makes docs/images/report_top.png and report.png anew, from the runs in docs/results/enwik8_mini.
#
#   scripts/report_images.sh [FOLDER_OF_PROGRAMS]      (default: build/release/bin)
#
# Needs Chromium, or Chrome as CHROMIUM=google-chrome.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=${1:-build/release/bin}
browser=${CHROMIUM:-chromium}
command -v "$browser" > /dev/null || { echo "report_images.sh: no $browser on PATH" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

runs=docs/results/enwik8_mini
"$programs/ssa-report" "$runs/s0" "$runs/s6_l4" "$runs/s6_l4_ft" --output "$work/page.html" > /dev/null

# A browser takes a picture of its window, which begins at the top of the page: for a part of the
# page, the sections before and behind it are hidden.
take() {  # FILE WIDTH HEIGHT CSS
  sed "s|</style>|$4</style>|" "$work/page.html" > "$work/part.html"
  "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size="$2,$3" \
    --screenshot="$work/shot.png" "file://$work/part.html" > /dev/null 2>&1
  mv "$work/shot.png" "docs/images/$1"
  echo "docs/images/$1: $(stat -c %s "docs/images/$1") bytes"
}

take report_top.png 1200 1240 ''
take report.png 1200 2420 \
  'header, nav, section { display: none !important; } #ensemble, #paper, #speed, #sources, #pathways { display: block !important; }'
