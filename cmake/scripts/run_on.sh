#!/bin/sh
# Runs a program on another processor than this one: an x86-64 one, or one that the emulator in QUELL_EMULATOR plays.
# Exit 77 (skipped) without the emulator.
#   sh run_on.sh <processor, such as Nehalem> <program> [argument ...]
set -eu
processor=$1
shift
emulator=${QUELL_EMULATOR:-qemu-x86_64}
command -v "$emulator" >/dev/null || { echo "skipped: $emulator is not installed"; exit 77; }
exec "$emulator" -cpu "$processor" "$@"
