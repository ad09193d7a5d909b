// SPDX-License-Identifier: MIT
// Holds the precompiled gtest.h that the tests share; see tests/CMakeLists.txt.
