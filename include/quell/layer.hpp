// SPDX-License-Identifier: MIT
/// @file
/// The layer level: for an engine that wants single linears replaced. Recipes, make_linear, forward. No Eigen, no JSON.
#pragma once

#include "quell/quant/forward.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/quant/recipes.hpp"
