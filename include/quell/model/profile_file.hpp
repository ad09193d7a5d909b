// SPDX-License-Identifier: MIT
/// @file
/// A profile_set as a safetensors file. For every input NAME with C channels:
///
///   NAME.absmax          F32 [C]     max |x|
///   NAME.sum_magnitudes  F64 [C]     sum of |x|
///   NAME.sum_squares     F64 [C]     sum of x^2
///   NAME.moments         F64 [C, 4]  mean, and the sums of the 2nd, 3rd and 4th powers of the deviations from it
///   NAME.element_counts  U64 [n, 2]  bucket and count of |x|; a bucket is the first 13 bits behind the sign of a float
///   NAME.token_counts    U64 [n, 2]  the same of max |x| of every token
///   NAME.totals          U64 [3]     tokens, windows, massive tokens
///   NAME.spikes          F64 [2]     sum over windows of max / median; medians above which a token is massive
///   NAME.massive_places  U64 [m, 6]  window, position, and four channels of the largest massive tokens
///   NAME.massive_values  F32 [m, 6]  max |x|, median of the window, and the values of these channels
///
/// Metadata: quell.stats (the version of this page), quell.version, model, text, tokens, window.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/version.hpp"
#include "quell/io/message.hpp"
#include "quell/io/safetensors.hpp"
#include "quell/io/safetensors_writer.hpp"
#include "quell/model/profile_set.hpp"
#include "quell/outliers/input_profile.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {
namespace detail {

constexpr std::string_view stats_version = "1";
constexpr std::size_t tensors_per_input = 10;
constexpr std::size_t massive_columns = 2 + outliers::large_token::kept_channels;

template <typename T>
inline constexpr dtype dtype_of = dtype::f32;
template <>
inline constexpr dtype dtype_of<double> = dtype::f64;
template <>
inline constexpr dtype dtype_of<std::uint64_t> = dtype::u64;

/// The tensors of profiles; keeps their bytes.
class profile_tensors {
public:
    void add(const std::string& name, const outliers::input_profile& profile) {
        put<float>(name + ".absmax", profile.absmax.per_channel());
        put<double>(name + ".sum_magnitudes", profile.magnitude.sums_of_magnitudes());
        put<double>(name + ".sum_squares", profile.magnitude.sums_of_squares());
        add_moments(name + ".moments", profile.moments);
        add_sketch(name + ".element_counts", profile.elements);
        add_sketch(name + ".token_counts", profile.token_maxima);
        put<std::uint64_t>(name + ".totals", std::array<std::uint64_t, 3>{profile.count(), profile.massive.windows(),
                                                                          profile.massive.found()});
        put<double>(name + ".spikes",
                    std::array<double, 2>{profile.spikes.sum(), static_cast<double>(profile.massive.times())});
        add_massive(name, profile.massive.examples());
    }

    [[nodiscard]] std::span<const io::tensor_to_write> tensors() const { return tensors_; }

private:
    /// A vector, or with `columns` a matrix.
    template <typename T>
    void put(const std::string& name, std::span<const T> values, std::size_t columns = 0) {
        const auto bytes = std::as_bytes(values);
        bytes_.emplace_back(bytes.begin(), bytes.end());
        std::vector<std::size_t> shape = {values.size()};
        if (columns != 0) {
            shape = {values.size() / columns, columns};
        }
        tensors_.push_back(
            {.name = name, .type = dtype_of<T>, .shape = std::move(shape), .bytes = std::span(bytes_.back())});
    }

    void add_moments(const std::string& name, const stats::moments& moments) {
        std::vector<double> values;
        for (std::size_t c = 0; c < moments.channels(); ++c) {
            const stats::moment_sums& sums = moments.channel(c);
            values.insert(values.end(), {sums.mean, sums.m2, sums.m3, sums.m4});
        }
        put<double>(name, values, 4);
    }

    void add_sketch(const std::string& name, const stats::quantile_sketch& sketch) {
        std::vector<std::uint64_t> values;
        for (std::size_t b = 0; b < sketch.counts().size(); ++b) {
            if (sketch.counts()[b] != 0) {
                values.insert(values.end(), {b, sketch.counts()[b]});
            }
        }
        put<std::uint64_t>(name, values, 2);
    }

    void add_massive(const std::string& name, std::span<const outliers::massive_token> examples) {
        std::vector<std::uint64_t> places;
        std::vector<float> values;
        for (const outliers::massive_token& m : examples) {
            places.insert(places.end(), {m.window, m.token.position});
            places.insert(places.end(), m.token.channels.begin(), m.token.channels.end());
            values.insert(values.end(), {m.token.largest, m.median});
            values.insert(values.end(), m.token.values.begin(), m.token.values.end());
        }
        put<std::uint64_t>(name + ".massive_places", places, massive_columns);
        put<float>(name + ".massive_values", values, massive_columns);
    }

    std::vector<io::tensor_to_write> tensors_;
    std::deque<std::vector<std::byte>> bytes_;  ///< a deque, so that none moves when another comes
};

/// Reads one input; nothing that the file says is believed.
class profile_reader {
public:
    profile_reader(const io::safetensors_file& file, std::string path, std::string input)
        : file_(file), path_(std::move(path)), input_(std::move(input)) {}

    result<outliers::input_profile> run() {
        QUELL_TRY_VOID(read_totals());
        outliers::input_profile profile;
        QUELL_TRY(std::vector<float> maxima, numbers<float>("absmax", 0));
        channels_ = maxima.size();
        profile.absmax = {tokens_, std::move(maxima)};
        QUELL_TRY(std::vector<double> magnitudes, channel_values("sum_magnitudes"));
        QUELL_TRY(std::vector<double> squares, channel_values("sum_squares"));
        profile.magnitude = {tokens_, std::move(magnitudes), std::move(squares)};
        QUELL_TRY(profile.moments, read_moments());
        QUELL_TRY(profile.elements, read_sketch("element_counts", channels_));
        QUELL_TRY(profile.token_maxima, read_sketch("token_counts", 1));
        QUELL_TRY_VOID(read_token_rules(profile));
        return profile;
    }

private:
    [[nodiscard]] error bad(const char* what, const std::string& reason) const {
        return io::failure(errc::bad_format, path_, "tensor ", io::quoted(input_ + "." + what), " ", reason);
    }

    /// The numbers of a vector, or of a matrix of so many columns; all finite, none negative unless `any_sign`.
    template <typename T>
    result<std::vector<T>> numbers(const char* what, std::size_t columns, bool any_sign = false) const {
        const io::tensor_view* found = file_.find(input_ + "." + what);
        if (found == nullptr) {
            return bad(what, "is missing");
        }
        const bool fits =
            columns == 0 ? found->shape.size() == 1 : found->shape.size() == 2 && found->shape[1] == columns;
        if (found->type != dtype_of<T> || !fits) {
            return bad(what, "is " + std::string(traits(found->type).name) + " " + io::to_text(found->shape));
        }
        std::vector<T> values(found->elements());
        if (!values.empty()) {
            std::memcpy(values.data(), found->bytes.data(), found->bytes.size());
        }
        const auto wrong = std::find_if(values.begin(), values.end(), [&](T v) {
            return !std::isfinite(static_cast<double>(v)) || (!any_sign && v < T{});
        });
        if (wrong != values.end()) {
            return bad(what, "holds " + std::to_string(*wrong));
        }
        return values;
    }

    result<void> read_totals() {
        QUELL_TRY(const std::vector<std::uint64_t> totals, numbers<std::uint64_t>("totals", 0));
        if (totals.size() != 3) {
            return bad("totals", "does not hold 3 numbers");
        }
        tokens_ = totals[0];
        windows_ = totals[1];
        massive_ = totals[2];
        if (tokens_ == 0 || tokens_ > profile_set::most_tokens || windows_ == 0 || windows_ > tokens_ ||
            massive_ > tokens_) {
            return bad("totals", "holds " + std::to_string(tokens_) + " tokens, " + std::to_string(windows_) +
                                     " windows and " + std::to_string(massive_) + " massive tokens");
        }
        return {};
    }

    result<std::vector<double>> channel_values(const char* what) const {
        QUELL_TRY(std::vector<double> values, numbers<double>(what, 0));
        return sized(what, std::move(values), channels_);
    }

    template <typename T>
    result<std::vector<T>> sized(const char* what, std::vector<T> values, std::size_t size) const {
        if (values.size() != size) {
            return bad(what, "holds " + std::to_string(values.size()) + " numbers, not " + std::to_string(size));
        }
        return values;
    }

    result<stats::moments> read_moments() const {
        QUELL_TRY(std::vector<double> read, numbers<double>("moments", 4, true));
        QUELL_TRY(const std::vector<double> values, sized("moments", std::move(read), 4 * channels_));
        std::vector<stats::moment_sums> sums(channels_);
        for (std::size_t c = 0; c < channels_; ++c) {
            const double* v = &values[4 * c];
            sums[c] = {.n = static_cast<double>(tokens_), .mean = v[0], .m2 = v[1], .m3 = v[2], .m4 = v[3]};
        }
        return stats::moments(tokens_, std::move(sums));
    }

    /// Counts that add up to so many values a token.
    result<stats::quantile_sketch> read_sketch(const char* what, std::size_t values_per_token) const {
        QUELL_TRY(const std::vector<std::uint64_t> pairs, numbers<std::uint64_t>(what, 2));
        std::vector<std::uint64_t> counts(stats::quantile_sketch::buckets);
        std::uint64_t left = tokens_ * values_per_token;
        std::uint64_t next = 0;
        for (std::size_t i = 0; i < pairs.size(); i += 2) {
            if (pairs[i] < next || pairs[i] >= counts.size() || pairs[i + 1] > left) {
                return bad(what, "holds " + std::to_string(pairs[i + 1]) + " values in bucket " +
                                     std::to_string(pairs[i]) + ", which cannot be");
            }
            counts[pairs[i]] = pairs[i + 1];
            next = pairs[i] + 1;
            left -= pairs[i + 1];
        }
        if (left != 0) {
            return bad(what, "holds " + std::to_string(left) + " values less than the tokens have");
        }
        return stats::quantile_sketch(std::move(counts));
    }

    result<void> read_token_rules(outliers::input_profile& profile) const {
        const io::tensor_view* found = file_.find(input_ + ".spikes");
        std::array<double, 2> rules{};
        if (found == nullptr || found->type != dtype::f64 || found->bytes.size() != sizeof rules) {
            return bad("spikes", "is missing or does not hold 2 numbers of type F64");
        }
        std::memcpy(rules.data(), found->bytes.data(), sizeof rules);
        const auto times = static_cast<float>(rules[1]);
        // The ratio may be infinite, where most tokens are zero.
        if (!(rules[0] >= static_cast<double>(windows_)) || !(times > 0.0F) || !std::isfinite(times)) {
            return bad("spikes", "holds " + std::to_string(rules[0]) + " and " + std::to_string(rules[1]));
        }
        QUELL_TRY(std::vector<outliers::massive_token> examples, read_massive());
        profile.spikes = {tokens_, windows_, rules[0]};
        profile.massive = {times, tokens_, windows_, massive_, std::move(examples)};
        return {};
    }

    result<std::vector<outliers::massive_token>> read_massive() const {
        QUELL_TRY(const std::vector<std::uint64_t> places, numbers<std::uint64_t>("massive_places", massive_columns));
        QUELL_TRY(std::vector<float> read, numbers<float>("massive_values", massive_columns, true));
        QUELL_TRY(const std::vector<float> values, sized("massive_values", std::move(read), places.size()));
        const std::size_t examples = places.size() / massive_columns;
        if (examples > std::min<std::uint64_t>(massive_, outliers::massive_tokens::kept)) {
            return bad("massive_places", "describes " + std::to_string(examples) + " tokens, more than there can be");
        }
        std::vector<outliers::massive_token> found(examples);
        for (std::size_t i = 0; i < examples; ++i) {
            const std::uint64_t* place = &places[i * massive_columns];
            const float* value = &values[i * massive_columns];
            found[i] = {.token = {.position = place[1], .largest = value[0]}, .window = place[0], .median = value[1]};
            std::copy_n(place + 2, found[i].token.channels.size(), found[i].token.channels.begin());
            std::copy_n(value + 2, found[i].token.values.size(), found[i].token.values.begin());
            const bool channels_exist = std::all_of(found[i].token.channels.begin(), found[i].token.channels.end(),
                                                    [&](std::uint64_t c) { return c < channels_; });
            if (place[0] >= windows_ || place[1] >= tokens_ || !channels_exist) {
                return bad("massive_places", "describes a token in row " + std::to_string(i) + " that cannot be");
            }
        }
        return found;
    }

    const io::safetensors_file& file_;
    std::string path_;
    std::string input_;
    std::size_t channels_ = 0;
    std::uint64_t tokens_ = 0;
    std::uint64_t windows_ = 0;
    std::uint64_t massive_ = 0;
};

[[nodiscard]] inline std::string version_text() {
    return std::to_string(QUELL_VERSION_MAJOR) + "." + std::to_string(QUELL_VERSION_MINOR) + "." +
           std::to_string(QUELL_VERSION_PATCH);
}

}  // namespace detail

/// Writes the file whole, or leaves the path as it was. The same statistics give the same bytes.
///
/// Errors   errc::io_failed; errc::bad_value for names that are not UTF-8.
[[nodiscard]] inline result<void> write_profiles(const std::string& path, const profile_set& all) {
    detail::profile_tensors tensors;
    for (const auto& [name, profile] : all.inputs) {
        tensors.add(name, profile);
    }
    return io::write_safetensors(path, tensors.tensors(),
                                 {{"quell.stats", std::string(detail::stats_version)},
                                  {"quell.version", detail::version_text()},
                                  {"model", all.model},
                                  {"text", all.text},
                                  {"tokens", std::to_string(all.tokens())},
                                  {"window", std::to_string(all.window)}});
}

namespace detail {

/// Names go to the terminal and into messages: one line each.
[[nodiscard]] inline bool is_printable(std::string_view name) {
    return !name.empty() && std::none_of(name.begin(), name.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
}

[[nodiscard]] inline result<profile_set> read_profile_metadata(const io::safetensors_file& file,
                                                               const std::string& path) {
    const auto text_of = [&](std::string_view key) {
        const auto at = file.metadata().find(key);
        return at == file.metadata().end() ? std::string() : at->second;
    };
    if (const std::string version = text_of("quell.stats"); version != stats_version) {
        return io::failure(errc::unsupported, path, "holds no statistics of version ", stats_version,
                           " (metadata quell.stats is ", io::quoted(version), ")");
    }
    profile_set all{.model = text_of("model"), .text = text_of("text")};
    const std::string window = text_of("window");
    const auto [end, failed] = std::from_chars(window.data(), window.data() + window.size(), all.window);
    if (failed != std::errc() || end != window.data() + window.size() || all.window == 0) {
        return io::failure(errc::bad_format, path, "metadata window is ", io::quoted(window), ", no number of tokens");
    }
    return all;
}

}  // namespace detail

/// Errors   errc::io_failed, errc::bad_format, errc::unsupported: one line with the path, the tensor and the number.
[[nodiscard]] inline result<profile_set> read_profiles(const std::string& path) {
    QUELL_TRY(const io::safetensors_file file, io::safetensors_file::open(path));
    QUELL_TRY(profile_set all, detail::read_profile_metadata(file, path));
    constexpr std::string_view ending = ".absmax";
    for (const io::tensor_view& tensor : file.tensors()) {
        if (!tensor.name.ends_with(ending)) {
            continue;
        }
        std::string input = tensor.name.substr(0, tensor.name.size() - ending.size());
        if (!detail::is_printable(input)) {
            return io::failure(errc::bad_format, path, "tensor ", io::quoted(tensor.name), " names no input");
        }
        QUELL_TRY(outliers::input_profile profile, detail::profile_reader(file, path, input).run());
        all.inputs.emplace(std::move(input), std::move(profile));
    }
    if (all.inputs.empty() || file.tensors().size() != all.inputs.size() * detail::tensors_per_input) {
        return io::failure(errc::bad_format, path, "holds ", file.tensors().size(), " tensors for ", all.inputs.size(),
                           " inputs, which have ", detail::tensors_per_input, " each");
    }
    return all;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
