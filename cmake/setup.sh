#!/bin/sh
# shellcheck disable=SC2034,SC2086  # the variables are for the script that sources this one; package lists are words
# Makes sure that what a script needs is installed. Sourced by demo.sh and test.sh:
#   . cmake/setup.sh; quell_setup demo|test|bench        bench: also the libraries that quell-bench compares with
# Installs with apt-get where there is apt-get, and says what to install where there is none.

quell_say() { printf '%s\n' "-- $*"; }

# A command, a header, or the library that clang's fuzzers link.
quell_has() {
    case $1 in
        *.h | *.hpp)
            for dir in /usr/include /usr/include/*-linux-gnu /usr/local/include /opt/homebrew/include; do
                if [ -e "$dir/$1" ]; then return 0; fi
            done
            return 1
            ;;
        libfuzzer)
            echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
                clang++ -fsanitize=fuzzer -x c++ - -o /dev/null 2>/dev/null
            ;;
        /*) [ -e "$1" ] ;;
        libbx_*) [ -n "$(find /usr/lib /usr/local/lib -name "$1" 2>/dev/null | head -n 1)" ] ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

quell_setup() {
    # what it is looked for by : package in Debian and Ubuntu
    need="g++:g++ cmake:cmake nlohmann/json.hpp:nlohmann-json3-dev CLI/CLI.hpp:libcli11-dev
          eigen3/Eigen/src/Core/EigenBase.h:libeigen3-dev"
    want="ninja:ninja-build"
    if [ "$1" = test ]; then
        need="$need gtest/gtest.h:libgtest-dev benchmark/benchmark.h:libbenchmark-dev"
        want="$want clang++:clang ccache:ccache pkg-config:pkg-config qemu-x86_64:qemu-user clang-format:clang-format
              libfuzzer:libclang-rt-dev clang-tidy:clang-tidy aarch64-linux-gnu-g++:g++-aarch64-linux-gnu"
        if [ "$(uname -m)" = x86_64 ]; then
            want="$want bochs:bochs /usr/share/bochs/BIOS-bochs-latest:bochsbios
                  /usr/share/bochs/VGABIOS-lgpl-latest:vgabios libbx_term_gui.so:bochs-term"
        fi
    fi
    if [ "$1" = bench ]; then
        need="$need benchmark/benchmark.h:libbenchmark-dev"
        want="$want cblas.h:libopenblas-dev oneapi/dnnl/dnnl.hpp:libdnnl-dev"
    fi
    missing=""
    for pair in $need $want; do
        if ! quell_has "${pair%%:*}"; then missing="$missing ${pair##*:}"; fi
    done

    if [ -n "$missing" ]; then
        install="apt-get install --yes --no-install-recommends$missing"
        as_root=""
        if [ "$(id -u)" != 0 ]; then as_root="sudo -n"; fi
        if command -v apt-get >/dev/null 2>&1 && $as_root true 2>/dev/null; then
            quell_say "installing$missing"
            log=$(mktemp)
            if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive $install; } >"$log" 2>&1; then
                quell_say "could not install everything; see $log"
            fi
        elif command -v apt-get >/dev/null 2>&1; then
            quell_say "missing; as root, run: apt-get update && $install"
        else
            quell_say "missing (the names are Debian's):$missing"
            quell_say "Fedora:   dnf install gcc-c++ cmake ninja-build json-devel eigen3-devel cli11-devel gtest-devel google-benchmark-devel clang ccache qemu-user"
            quell_say "Arch:     pacman -S gcc cmake ninja nlohmann-json eigen cli11 gtest benchmark clang ccache qemu-user"
            quell_say "Homebrew: brew install gcc cmake ninja nlohmann-json eigen cli11 googletest google-benchmark ccache"
        fi
    fi

    if ! { quell_has cmake && { quell_has g++ || quell_has clang++; }; }; then
        quell_say "nothing can be built without cmake and g++ (12 or newer) or clang++ (14 or newer)"
        return 1
    fi
    version=$(cmake --version | sed -n '1s/.*version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    if [ "${version% *}" -eq 3 ] && [ "${version#* }" -lt 25 ]; then
        quell_say "cmake $(echo "$version" | tr ' ' .) is too old: 3.25 or newer is needed (for example: pip install cmake)"
        return 1
    fi
    for pair in $need; do
        case $pair in
            *.h*) if ! quell_has "${pair%%:*}"; then quell_say "without ${pair##*:}, cmake downloads that library"; fi ;;
        esac
    done
    quell_generator="Unix Makefiles"
    if quell_has ninja; then quell_generator=Ninja; fi
    quell_jobs=$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
}
