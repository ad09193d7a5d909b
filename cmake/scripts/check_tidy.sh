#!/bin/sh
# clang-tidy over one source that includes all headers. Exit 77 (skipped) without clang-tidy 14: others have other checks.
#   sh check_tidy.sh <source> <source dir> [compiler option ...]
set -eu
source=$1
root=$2
shift 2
for tool in clang-tidy-14 clang-tidy; do
    if command -v "$tool" >/dev/null && "$tool" --version | grep -q 'version 14\.'; then
        "$tool" --quiet --config-file="$root/.clang-tidy" "$source" -- -std=c++20 -DQUELL_CHECKS=1 "$@"
        exit
    fi
done
echo "skipped: clang-tidy 14 is not installed"
exit 77
