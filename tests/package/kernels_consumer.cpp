// SPDX-License-Identifier: MIT
// A program that uses the kernel level alone: no other library is on its include path.
#include "quell/kernels.hpp"

#include <cstdio>

int main() {
    for (const quell::kernels::isa level : quell::kernels::available()) {
        std::printf("%s ", quell::kernels::name(level).data());
    }
    std::puts("");
}
