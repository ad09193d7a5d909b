// SPDX-License-Identifier: MIT
// What a program that uses all of quell may look like; every project in this folder builds it.
#include "quell/core/version.hpp"
#include "quell/quell.hpp"

#include <cstdio>

int main() {
    const quell::matrix<float> weight(3, 5);
    const quell::result<quell::quant::recipe> recipe = quell::quant::find_recipe("rtn-w8a8", {});
    if (!recipe) {
        std::puts(recipe.error().message.c_str());
        return 1;
    }
    std::printf("quell %d.%d.%d: %zu weights, %s\n", QUELL_VERSION_MAJOR, QUELL_VERSION_MINOR, QUELL_VERSION_PATCH,
                weight.elements().size(), recipe->name.c_str());
}
