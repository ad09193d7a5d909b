// SPDX-License-Identifier: MIT
/// @file
/// Where a tuning stands, as a safetensors file: values and moments of every parameter and the number of steps taken.
/// Who goes on from it gets the bits that an uninterrupted run gives.
///
///   __metadata__   quell.tuning: the version of this page; steps; run: what the run is, in the words of who runs it
///   NAME           F32 [rows, cols]: a parameter
///   NAME.first     F32: its first and second moments
///   NAME.second
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/io/message.hpp"
#include "quell/io/safetensors.hpp"
#include "quell/io/safetensors_writer.hpp"
#include "quell/tuning/adamw.hpp"

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

namespace detail {

inline constexpr const char* checkpoint_version = "1";

/// f(name, values) for the three tensors of every parameter.
template <typename F>
void for_each_tensor(adamw<float>& optimizer, F f) {
    optimizer.for_each_state([&](parameter<float>& p, std::span<float> first, std::span<float> second) {
        f(p, p.name, p.value.elements());
        f(p, p.name + ".first", first);
        f(p, p.name + ".second", second);
    });
}

[[nodiscard]] inline result<void> read_values(const io::safetensors_file& file, const std::string& path,
                                              const std::string& name, std::span<float> values) {
    const io::tensor_view* tensor = file.find(name);
    if (tensor == nullptr) {
        return io::failure(errc::not_found, path, "has no tensor ", io::quoted(name));
    }
    if (tensor->type != dtype::f32 || tensor->bytes.size() != values.size_bytes()) {
        return io::failure(errc::bad_shape, path, "tensor ", io::quoted(name), ": ", tensor->bytes.size(),
                           " bytes, not the ", values.size(), " floats that are wanted");
    }
    std::memcpy(values.data(), tensor->bytes.data(), values.size_bytes());
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!std::isfinite(values[i])) {
            return io::failure(errc::bad_value, path, "tensor ", io::quoted(name), ": element ", i,
                               " is not a finite number");
        }
    }
    return {};
}

}  // namespace detail

/// Replaces the file, or leaves it as it was.
/// Errors   errc::io_failed.
[[nodiscard]] inline result<void> write_checkpoint(const std::string& path, adamw<float>& optimizer,
                                                   const std::string& run) {
    std::vector<io::tensor_to_write> tensors;
    detail::for_each_tensor(optimizer, [&](const parameter<float>& p, const std::string& name,
                                           std::span<float> values) {
        tensors.push_back({.name = name, .shape = {p.value.rows(), p.value.cols()}, .bytes = std::as_bytes(values)});
    });
    return io::write_safetensors(
        path, tensors,
        {{"quell.tuning", detail::checkpoint_version}, {"run", run}, {"steps", std::to_string(optimizer.steps())}});
}

/// Goes on where write_checkpoint() was called; after an error the optimizer and its parameters are of no more use.
///
/// Errors   errc::io_failed, errc::bad_format, errc::bad_shape, errc::bad_value; errc::not_found for a tensor that is
///          missing; errc::bad_value for the checkpoint of another run.
[[nodiscard]] inline result<void> read_checkpoint(const std::string& path, adamw<float>& optimizer,
                                                  const std::string& run) {
    QUELL_TRY(const io::safetensors_file file, io::safetensors_file::open(path));
    const auto entry = [&](const char* key) {
        const auto at = file.metadata().find(key);
        return at == file.metadata().end() ? std::string() : at->second;
    };
    if (entry("quell.tuning") != detail::checkpoint_version) {
        return io::failure(errc::unsupported, path, "is no checkpoint of a tuning, or one of another version");
    }
    if (entry("run") != run) {
        return io::failure(errc::bad_value, path, "is the checkpoint of another run (", entry("run"),
                           "), not of this (", run, "); delete it to start again");
    }
    const std::string steps = entry("steps");
    std::size_t done = 0;
    if (std::from_chars(steps.data(), steps.data() + steps.size(), done).ec != std::errc()) {
        return io::failure(errc::bad_format, path, "says ", io::quoted(steps), " steps");
    }
    result<void> read;
    detail::for_each_tensor(optimizer, [&](const parameter<float>&, const std::string& name, std::span<float> values) {
        read = read ? detail::read_values(file, path, name, values) : read;
    });
    optimizer.resume_at(done);
    return read;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
