// SPDX-License-Identifier: MIT
/// @file
/// Runs the program `quell` as a user does: arguments in; exit status, standard output and standard error out.
#pragma once

#include "support/temporary_folder.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include <sys/wait.h>

namespace program_test {

struct outcome {
    int status = -1;
    std::string out;
    std::string err;
};

inline std::string contents_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The arguments must hold no single quotes. Where they name no number of threads there is one: ctest already runs as
/// many tests at once as there are processors, and threads that wait for each other make twice the work of it.
inline outcome quell(std::vector<std::string> arguments) {
    const std::set<std::string> commands = {"eval", "quantize", "run", "layer", "stats", "inspect"};
    const bool has_threads = std::find(arguments.begin(), arguments.end(), "--threads") != arguments.end();
    if (!arguments.empty() && commands.contains(arguments.front()) && !has_threads) {
        arguments.insert(arguments.begin() + 1, {"--threads", "1"});
    }
    const support::temporary_folder folder;
    std::string command = QUELL_PROGRAM;
    for (const std::string& argument : arguments) {
        command += " '" + argument + "'";
    }
    command += " >'" + folder.file("out") + "' 2>'" + folder.file("err") + "' </dev/null";
    const int raw = std::system(command.c_str());
    return {WIFEXITED(raw) ? WEXITSTATUS(raw) : -1, contents_of(folder.file("out")), contents_of(folder.file("err"))};
}

}  // namespace program_test
