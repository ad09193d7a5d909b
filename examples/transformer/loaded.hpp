// SPDX-License-Identifier: MIT
/// @file
/// What load.hpp gives: a model and the tokenizer that belongs to it.
#pragma once

#include "transformer/model.hpp"
#include "transformer/tokenizer.hpp"

namespace transformer {

struct loaded {
    model network;
    tokenizer text;
};

}  // namespace transformer
