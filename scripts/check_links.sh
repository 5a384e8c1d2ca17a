#!/usr/bin/env bash
# Lists relative links in Markdown files whose target does not exist.
set -euo pipefail
cd "$(dirname "$0")/.."
broken=0
while IFS= read -r file; do
  while IFS= read -r link; do
    target=${link%%#*}
    case "$target" in ''|http://*|https://*|mailto:*) continue ;; esac
    if [ ! -e "$(dirname "$file")/$target" ]; then
      echo "$file: $link leads nowhere"
      broken=1
    fi
  done < <(grep -oE '\]\([^) ]+\)' "$file" | sed -E 's/^\]\((.*)\)$/\1/' || true)
done < <(find . -name '*.md' -not -path './build/*' -not -path './runs/*')
exit $broken
