#!/bin/sh
# Runs a program on another x86-64 processor than this one. Exit 77 (skipped) without qemu-x86_64.
#   sh run_on.sh <processor, such as Nehalem> <program> [argument ...]
set -eu
processor=$1
shift
command -v qemu-x86_64 >/dev/null || { echo "skipped: qemu-x86_64 is not installed"; exit 77; }
exec qemu-x86_64 -cpu "$processor" "$@"
