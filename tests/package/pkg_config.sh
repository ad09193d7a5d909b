#!/bin/sh
# Builds and runs both consumers with nothing but what pkg-config says. Exit 77 (skipped) where there is none.
#   sh pkg_config.sh <compiler> <prefix> <source folder> <scratch folder>
set -eu
compiler=$1 prefix=$2 source=$3 scratch=$4
command -v pkg-config >/dev/null || { echo "skipped: pkg-config is not installed"; exit 77; }
export PKG_CONFIG_PATH="$prefix/share/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
mkdir -p "$scratch"
# shellcheck disable=SC2046  # the flags are words
$compiler -std=c++20 $(pkg-config --cflags quell-kernels) "$source/kernels_consumer.cpp" -o "$scratch/kernels_consumer"
# shellcheck disable=SC2046
$compiler -std=c++20 $(pkg-config --cflags quell) "$source/consumer.cpp" -o "$scratch/consumer"
"$scratch/kernels_consumer"
"$scratch/consumer"
