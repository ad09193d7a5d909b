// SPDX-License-Identifier: MIT
/// @file
/// What load.hpp gives: a model and the tokenizer that belongs to it; of a packed file also its plan.
#pragma once

#include "quell/model/plan.hpp"
#include "transformer/model.hpp"
#include "transformer/tokenizer.hpp"

#include <optional>

namespace transformer {

struct loaded {
    model network;
    tokenizer text;
    std::optional<quell::model::plan> decided = {};  ///< what was done to the weights of a packed file
};

}  // namespace transformer
