#!/bin/sh
# The whole check: installs what is missing, lints, builds with g++ and clang++, runs all tests, sanitizers, old
# processors, other architectures and every way of being packaged. Says how long each stage took, and last of all
# "N passed, N failed, N skipped"; fails when anything failed.
#   sh cmake/test.sh [BUILD FOLDER]       default: build-test
set -u
cd "$(dirname "$0")/.." || exit 1
. cmake/setup.sh
began=$(date +%s)
quell_setup test || exit 1

root=${1:-build-test}
mkdir -p "$root"
root=$(cd "$root" && pwd)
export CMAKE_BUILD_PARALLEL_LEVEL="$quell_jobs" CTEST_PARALLEL_LEVEL="$quell_jobs"
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_BASEDIR="$PWD"
launcher=""
if quell_has ccache; then launcher=-DCMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
passed=0 failed=0 skipped=0 skipped_names=""
failures=$root/failures.txt
: >"$failures"

# stage NAME COMMAND...: runs it with its output in a log; what fails is counted once and shown, and again at the end.
stage() {
    name=$1 log=$root/$(echo "$1" | tr ' :+' '___').log start=$(date +%s)
    shift
    if "$@" >"$log" 2>&1; then verdict=ok; else verdict=FAILED; fi
    printf '%-52s %-7s %4d s\n' "$name" "$verdict" "$(($(date +%s) - start))"
    if [ "$verdict" = FAILED ]; then
        { echo "== $name"; grep -nE -A 6 'error:|FAILED|\*\*\*|Failure' "$log" | head -n 60; tail -n 25 "$log"; } |
            cut -c 1-400 | tee -a "$failures"
        return 1
    fi
}

configure_and_build() {
    folder=$1
    shift
    [ -f "$folder/CMakeCache.txt" ] || set -- -G "$quell_generator" "$@"
    if [ -n "$launcher" ]; then set -- "$@" "$launcher"; fi
    # shellcheck disable=SC2086  # targets are words
    cmake -S . -B "$folder" "$@" && cmake --build "$folder" --target $targets
}
targets=all

# build NAME FOLDER CMAKE-OPTION...
build() {
    name=$1 folder=$root/$2
    shift 2
    if ! stage "$name: build" configure_and_build "$folder" "$@"; then
        failed=$((failed + 1))
        return 1
    fi
}

# The first value of an attribute in a JUnit file: that of the whole suite.
attribute() { sed -n "s/^[[:space:]]*$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1; }

# run NAME FOLDER CTEST-OPTION...: counts from the JUnit file that ctest writes.
run() {
    name=$1 folder=$root/$2 junit=$root/$(echo "$1" | tr ' :+' '___').xml
    shift 2
    rm -f "$junit"
    stage "$name" ctest --test-dir "$folder" --output-on-failure --no-tests=error --output-junit "$junit" "$@"
    good=$?
    if [ ! -f "$junit" ]; then failed=$((failed + 1)); return 1; fi
    total=$(attribute tests "$junit") bad=$(attribute failures "$junit") left=$(attribute skipped "$junit")
    if [ "$good" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    passed=$((passed + total - bad - left)) failed=$((failed + bad)) skipped=$((skipped + left))
    names=$(sed -n 's/.*<testcase name="\([^"]*\)".*status="notrun".*/\1/p' "$junit" | sed "s|^|  $name: |")
    skipped_names="$skipped_names${names:+$names
}"
}

left_out() { skipped=$((skipped + 1)) skipped_names="$skipped_names  $1: $2
"; }

slow="lint|package|modes|odr|emulated|fuzz"
# g++ optimizes as users do; clang++ less, which halves its time and shows what leans on the optimizer.
build "g++" gcc -DCMAKE_CXX_COMPILER=g++ -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS=-DQUELL_CHECKS=1 \
    "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG" && {
    run "lint" gcc -L lint
    run "g++: tests" gcc -LE "$slow"
    run "g++: headers alone, packages, mixed flags" gcc -L "package|modes|odr"
    run "g++: on emulated processors" gcc -L emulated
}
if quell_has clang++; then
    fuzzers=OFF
    if quell_has libfuzzer; then fuzzers=ON; else left_out "fuzzers" "clang has no libFuzzer here"; fi
    # The library is tested, the examples are compiled: what they do, g++ has shown.
    build "clang++" clang -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Release -DQUELL_BUILD_FUZZERS=$fuzzers \
        -DQUELL_BUILD_EXAMPLES=OFF -DQUELL_BUILD_BENCH=OFF "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG" && {
        run "clang++: tests" clang -LE "$slow"
        run "clang++: mixed flags" clang -L "odr"
        [ $fuzzers = OFF ] || run "clang++: fuzzers" clang -L fuzz
    }
    build "clang++: examples and benchmarks" clang-examples -DCMAKE_CXX_COMPILER=clang++ \
        -DCMAKE_BUILD_TYPE=Release -DQUELL_BUILD_TESTS=OFF "-DCMAKE_CXX_FLAGS_RELEASE=-O0"
else
    left_out "clang++" "not installed"
fi

# Sanitizers where memory is handled by hand, and other processors, without the large data: that would take an hour.
# What works on views alone is checked by QUELL_CHECKS above. -O0, because at -O1 the kernels alone compile for ten
# minutes, and because dead reads stay in; so fewer samples.
targets="test_core test_io test_kernels test_packing test_tokenizer"
build "sanitizers" sanitizers -DCMAKE_CXX_COMPILER=g++ -DCMAKE_BUILD_TYPE=Debug -DQUELL_BUILD_BENCH=OFF \
    "-DCMAKE_CXX_FLAGS=-O0 -g1 -DQUELL_CHECKS=1 -fsanitize=address,undefined -fno-sanitize-recover=all" &&
    QUELL_SHARED="" QUELL_TEST_SAMPLES=200 run "sanitizers: tests" sanitizers -R "^(core|io|kernels|packing|tokenizer)[.]"
if quell_has aarch64-linux-gnu-g++ && quell_has qemu-aarch64 && [ -d /usr/src/googletest ]; then
    targets="test_core test_kernels test_packing test_rounding"
    build "aarch64" aarch64 -DCMAKE_BUILD_TYPE=Release -DQUELL_INSTALL=OFF \
        -DQUELL_BUILD_EXAMPLES=OFF -DQUELL_BUILD_BENCH=OFF "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG" \
        "-DCMAKE_TOOLCHAIN_FILE=$PWD/cmake/toolchains/aarch64-linux-gnu.cmake" \
        -DFETCHCONTENT_SOURCE_DIR_GOOGLETEST=/usr/src/googletest && {
        run "aarch64: tests under qemu" aarch64 -R "^(core|packing|rounding)[.]"
        run "aarch64: kernels on three processors" aarch64 -L emulated
    }
else
    left_out "aarch64" "no cross compiler, qemu-aarch64 or /usr/src/googletest"
fi

if [ -n "$skipped_names" ]; then printf 'skipped:\n%s' "$skipped_names"; fi
cat "$failures"
printf 'all stages: %d s\n' "$(($(date +%s) - began))"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
