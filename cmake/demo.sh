#!/bin/sh
# Installs what is missing, builds the programs into build/ and measures the two built-in toy models; then a real model,
# when one is named or lies at hand.
#   sh cmake/demo.sh [MODEL]       a .gguf or .safetensors file, or a Hugging Face folder
#   QUELL_MODEL=…                  the same by the environment
#   QUELL_DATA=…                   a folder to look for *.gguf in; otherwise the data/ folders beside this checkout
set -eu
cd "$(dirname "$0")/.."
. cmake/setup.sh
quell_setup demo

# The first file that exists.
first_of() {
    for file in "$@"; do
        if [ -f "$file" ]; then
            echo "$file"
            return
        fi
    done
}

model=${1:-${QUELL_MODEL:-}}
if [ -z "$model" ]; then
    if [ -n "${QUELL_DATA:-}" ]; then
        model=$(first_of "$QUELL_DATA"/*.gguf)
    else
        model=$(first_of ../*/data/*.gguf)
    fi
fi

build_programs() {
    [ -f build/CMakeCache.txt ] || set -- -G "$quell_generator"
    cmake -S . -B build "$@" -DCMAKE_BUILD_TYPE=Release -DQUELL_BUILD_TESTS=OFF \
        -DQUELL_BUILD_BENCH=OFF && cmake --build build -j "$quell_jobs"
}
quell_say "building build/bin/quell"
mkdir -p build
if ! build_programs >build/demo.log 2>&1; then
    tail -n 40 build/demo.log
    exit 1
fi

quell_say "build/bin/quell eval --model toy --recipe all --tokens 2048 --html build/toy.html"
build/bin/quell eval --model toy --recipe all --tokens 2048 --html build/toy.html
recipes=fp32,rtn-w8a8,smoothquant-w8a8,rtn-w4a8-g128,rtn-w4a4
quell_say "build/bin/quell eval --model toy-gelu --recipe $recipes"
build/bin/quell eval --model toy-gelu --recipe $recipes

if [ -z "$model" ]; then
    quell_say "no real model named: sh cmake/demo.sh MODEL measures one (README.md says where to get one)"
    exit 0
fi
beside=$(dirname "$model")
text=$(first_of "$beside"/*evaluation*.txt)
calibration=$(first_of "$beside"/*calibration*.txt)
set -- eval --model "$model" --text "${text:-builtin}" --tokens 2048
if [ -n "$calibration" ]; then
    set -- "$@" --calib "$calibration" --calib-tokens 2048
else
    recipes=fp32,rtn-w8a8,rtn-w4a8-g128,rtn-w4a4
fi
quell_say "build/bin/quell $* --recipe $recipes"
build/bin/quell "$@" --recipe $recipes
