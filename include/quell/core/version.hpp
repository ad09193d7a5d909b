// SPDX-License-Identifier: MIT
/// @file
/// The version of quell: the one place that states it. CMake, the package files and the tests read these three lines.
#pragma once

#define QUELL_VERSION_MAJOR 0
#define QUELL_VERSION_MINOR 1
#define QUELL_VERSION_PATCH 0
