// SPDX-License-Identifier: MIT
/// @file
/// `quell recipes`: the fixed list that `--recipe all` runs.
#include "quell/quant/recipes.hpp"

#include "commands.hpp"

#include <cstdio>
#include <string_view>

namespace program {

int list_recipes() {
    for (const std::string_view name : quell::quant::recipe_names()) {
        std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
    }
    return 0;
}

}  // namespace program
