// SPDX-License-Identifier: MIT
/// @file
/// The kernels and nothing else: no Eigen, no JSON, no allocation, no threads. kernels::best() is the table to call.
#pragma once

#include "quell/kernels/dispatch.hpp"
