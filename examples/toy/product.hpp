// SPDX-License-Identifier: MIT
/// @file
/// The products of quell/tuning under the names of this folder: what the library's backward pass of a linear runs on is
/// what the trainer runs on.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/tuning/product.hpp"

namespace toy {

using quell::tuning::for_row_blocks;
using quell::tuning::into;
using quell::tuning::multiply;
using quell::tuning::multiply_part;
using quell::tuning::packed;
using quell::tuning::panel_width;
using quell::tuning::product_part;
using quell::tuning::transpose;

}  // namespace toy
