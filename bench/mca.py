#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What llvm-mca says of the inner loops of the Arm kernels: cycles for 32 k of a tile, and products a cycle.

    python3 bench/mca.py [COMPILER]        default: aarch64-linux-gnu-g++; wants llvm-mca-19, whose models are the first
                                           with Neoverse N1, N2, V1 of their own

A static model: no caches, no memory, no front end but its width. It compares tiles and finds spills; it is no measurement.
"""
import os
import re
import subprocess
import sys
import tempfile

COMPILER = sys.argv[1] if len(sys.argv) > 1 else "aarch64-linux-gnu-g++"
INCLUDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "include")
PROCESSORS = {
    "neon": ["cortex-a53", "cortex-a57"],
    "neon_dotprod": ["neoverse-n1"],
    "neon_i8mm": ["neoverse-v1", "neoverse-n2"],
}
PRODUCT = re.compile(r"\s(sdot|usdot|smlal2?|smull2?)\s")
TILE = re.compile(r"^_ZN5quell.*?\d(neon\w*?)10whole_tileINS2_\d+(byte_codes|signed_codes|packed_codes)(?:ILm(\d)EE)?ELb[01]ELi(\d)ELm(\d)E.*:$")


def assembly():
    with tempfile.NamedTemporaryFile("w", suffix=".cpp") as source:
        source.write('#include "quell/kernels.hpp"\nconst void* table() { return &quell::kernels::best(); }\n')
        source.flush()
        command = [COMPILER, "-std=c++20", "-O2", "-DNDEBUG", "-I", INCLUDE, "-S", source.name, "-o", "-"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def tiles(lines):
    """Of every tile the straight piece of code with most products: 32 k, as all its steps are unrolled."""
    name, piece, best = None, [], []
    for line in lines:
        if match := TILE.match(line):
            name, piece, best = match.groups(), [], []
        elif name and line.strip().startswith(".cfi_endproc"):
            yield name, max(best, piece, key=lambda p: sum(bool(PRODUCT.search(i)) for i in p))
            name = None
        elif name and (line.startswith(".L") or re.match(r"\s+(b|b\.\w+|cbn?z|tbn?z|bl|ret)\s", line)):
            best = max(best, piece, key=lambda p: sum(bool(PRODUCT.search(i)) for i in p))
            piece = []
        elif name and re.match(r"\s+[a-z]", line):
            piece.append(line)


def cycles(code, processor):
    command = ["llvm-mca-19", "-mtriple=aarch64", "-mattr=+dotprod,+i8mm", f"-mcpu={processor}", "-iterations=100"]
    report = subprocess.run(command, input="\n".join(code), check=True, capture_output=True, text=True).stdout
    return int(re.search(r"Total Cycles:\s+(\d+)", report)[1]) / 100


rows = {}
for (level, form, bits, height, columns), code in tiles(assembly()):
    spills = sum("[sp" in line for line in code)
    for processor in PROCESSORS[level]:
        spent = cycles(code, processor)
        products = int(height) * int(columns) * 4 * 32 / spent
        what = f"{form[:6]} {bits} bits" if bits else form.replace("_codes", "")
        tile = (level, what, f"{height} x {4 * int(columns)}", processor)
        row = (spent, f"| {level} | {what} | {tile[2]} | {len(code)} | {spills} | {processor} | {spent:.0f} | {products:.0f} |")
        rows[tile] = max(rows.get(tile, row), row)  # a tile that streams its weight and one that does not: the slower
print("| level | codes | tile | instructions | of them on the stack | processor | cycles for 32 k | products a cycle |")
print("| --- | --- | --- | --- | --- | --- | --- | --- |")
for tile in sorted(rows):
    print(rows[tile][1])
