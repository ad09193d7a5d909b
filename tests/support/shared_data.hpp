// SPDX-License-Identifier: MIT
/// @file
/// Where the large test data is: a real model, texts and their token ids. They are not in the repository: a test that
/// wants them skips by name where they are absent.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

/// The path of `relative` (such as "data/text.txt") in the folder that the environment variable QUELL_SHARED names.
/// Where it is not set: in the first folder beside the checkout that has such a file.
inline std::optional<std::string> shared_file(const char* relative) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    std::vector<fs::path> folders;
    if (const char* named = std::getenv("QUELL_SHARED")) {
        folders.emplace_back(named);
    } else {
        for (const auto& beside : fs::directory_iterator(fs::path(QUELL_SOURCE_DIR).parent_path(), ignored)) {
            folders.push_back(beside.path());
        }
        std::sort(folders.begin(), folders.end());
    }
    for (const fs::path& folder : folders) {
        if (fs::path file = folder / relative; fs::is_regular_file(file, ignored)) {
            return file.string();
        }
    }
    return std::nullopt;
}
