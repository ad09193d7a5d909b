// SPDX-License-Identifier: MIT
/// @file
/// The layer level: for an engine that wants single linears replaced. Policies to compose, make_linear, forward;
/// arrays_of and map_linear to save and map. No Eigen, no JSON.
#pragma once

#include "quell/quant/forward.hpp"
#include "quell/quant/linear_arrays.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/quant/policies.hpp"
#include "quell/rounding/rtn.hpp"
#include "quell/stats/absmax.hpp"
