// SPDX-License-Identifier: MIT
/// @file
/// `checkpoint`: the tensors of a model file, or of several shards, by name. Matrices are decoded one at a time,
/// checked and packed; their pages of the file may then leave memory, so that a model is never held twice. Those of a
/// packed file are ready to use and stay where they are.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/views.hpp"
#include "quell/io/message.hpp"
#include "quell/io/tensor_view.hpp"
#include "quell/io/to_float.hpp"
#include "quell/model/linear_tensors.hpp"
#include "quell/quant/linear.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace transformer {

/// The first element that is NaN or infinite, or values.size().
[[nodiscard]] inline std::size_t first_not_finite(std::span<const float> values) {
    constexpr std::uint32_t exponent = 0x7f800000U;
    std::uint32_t largest = 0;
    for (const float v : values) {
        largest = std::max(largest, std::bit_cast<std::uint32_t>(v) & exponent);
    }
    if (largest != exponent) {
        return values.size();
    }
    const auto bad = std::find_if(values.begin(), values.end(),
                                  [](float v) { return (std::bit_cast<std::uint32_t>(v) & exponent) == exponent; });
    return static_cast<std::size_t>(bad - values.begin());
}

/// Whether the linears of a file are plain matrices or, as model/linear_tensors.hpp writes them, packed.
enum class weight_storage : std::uint8_t { plain, packed };

class checkpoint {
public:
    checkpoint(std::string name, const quell::executor& threads, quell::progress_callback progress,
               weight_storage storage = weight_storage::plain)
        : name_(std::move(name)), threads_(threads), progress_(std::move(progress)), storage_(storage) {}

    /// Takes in all tensors of a gguf_file or safetensors_file, which must outlive the checkpoint.
    template <typename File>
    quell::result<void> add(const File& file) {
        files_.push_back([&file](const quell::io::tensor_view& tensor) { file.drop(tensor); });
        for (const quell::io::tensor_view& tensor : file.tensors()) {
            if (!tensors_.emplace(tensor.name, entry{&tensor, files_.size() - 1}).second) {
                return failure(quell::errc::bad_format, tensor.name, "stands in two shards");
            }
        }
        return {};
    }

    [[nodiscard]] bool has(std::string_view tensor) const { return tensors_.contains(tensor); }
    void ignore(std::string_view tensor) {
        if (const auto at = tensors_.find(tensor); at != tensors_.end()) {
            at->second.used = true;
        }
    }

    /// The matrix "<name>.weight" [out, in] with "<name>.bias" [out], if there is one, as a float linear.
    /// Errors   errc::not_found, bad_shape, unsupported, bad_value (a number that is not finite, with its index).
    ///          From a packed file: also those of quell::model::read_linear; the file must then outlive the linear.
    quell::result<quell::quant::linear> linear(const std::string& name, std::size_t out, std::size_t in) {
        if (storage_ == weight_storage::packed) {
            return mapped_linear(name, out, in);
        }
        quell::buffer<float> bias;
        if (has(name + ".bias")) {
            QUELL_TRY(bias, vector(name + ".bias", out));
        }
        const std::size_t shape[] = {out, in};
        QUELL_TRY(entry* const found, take(name + ".weight", shape));
        if (decoded_.size() < out * in) {
            decoded_ = quell::buffer<float>();
            decoded_ = quell::buffer<float>(out * in);
        }
        const quell::matrix_view<float> w(decoded_.data(), out, in);
        QUELL_TRY_VOID(decode(*found->tensor, w));
        quell::quant::linear packed = quell::quant::float_linear(w, bias, threads_);
        files_[found->file](*found->tensor);
        return packed;
    }

    /// The vector `name` [n].
    quell::result<quell::buffer<float>> vector(const std::string& name, std::size_t n) {
        const std::size_t shape[] = {n};
        QUELL_TRY(const entry* const found, take(name, shape));
        quell::buffer<float> values(n);
        QUELL_TRY_VOID(decode(*found->tensor, {values.data(), 1, n}));
        return values;
    }

    /// The text that a packed file holds under `name`, in place.
    quell::result<std::string_view> text(const std::string& name) {
        const auto found = quell::model::read_text(finder(), name);
        return found ? found : found.error().in(name_);
    }

    /// Gives back the memory that the largest matrix so far took while it was decoded.
    void release_scratch() { decoded_ = quell::buffer<float>(); }

    /// A tensor that nothing has asked for would change the network's function: better an error than a silent guess.
    [[nodiscard]] quell::result<void> check_all_used() const {
        for (const auto& [name, e] : tensors_) {
            if (!e.used) {
                return failure(quell::errc::unsupported, name, "is no part of a network that quell can run");
            }
        }
        return {};
    }

private:
    struct entry {
        const quell::io::tensor_view* tensor = nullptr;
        std::size_t file = 0;
        bool used = false;
    };

    [[nodiscard]] quell::error failure(quell::errc code, std::string_view tensor, const std::string& what) const {
        return quell::io::failure(code, name_, "tensor ", quell::io::quoted(tensor), " ", what);
    }

    /// Marks what is looked up as used.
    quell::model::tensor_finder finder() {
        return [this](const std::string& name) -> const quell::io::tensor_view* {
            const auto at = tensors_.find(name);
            if (at == tensors_.end()) {
                return nullptr;
            }
            if (!std::exchange(at->second.used, true)) {
                quell::report_progress(progress_, "load", name, ++taken_, tensors_.size());
            }
            return at->second.tensor;
        };
    }

    quell::result<quell::quant::linear> mapped_linear(const std::string& name, std::size_t out, std::size_t in) {
        auto mapped = quell::model::read_linear(finder(), name);
        if (!mapped) {
            return mapped.error().in(name_);
        }
        const std::size_t shape[] = {quell::quant::out_features(*mapped), quell::quant::in_features(*mapped)};
        const std::size_t wanted[] = {out, in};
        if (!std::ranges::equal(shape, wanted)) {
            return failure(quell::errc::bad_shape, name + ".packed",
                           "holds a weight of the shape " + quell::io::to_text(shape) +
                               " where the configuration asks for " + quell::io::to_text(wanted));
        }
        return mapped;
    }

    quell::result<entry*> take(const std::string& name, std::span<const std::size_t> shape) {
        const auto at = tensors_.find(name);
        if (at == tensors_.end()) {
            return failure(quell::errc::not_found, name, "is missing");
        }
        if (!std::ranges::equal(at->second.tensor->shape, shape)) {
            return failure(quell::errc::bad_shape, name,
                           "has the shape " + quell::io::to_text(at->second.tensor->shape) +
                               " where the configuration asks for " + quell::io::to_text(shape));
        }
        at->second.used = true;
        quell::report_progress(progress_, "load", name, ++taken_, tensors_.size());
        return &at->second;
    }

    quell::result<void> decode(const quell::io::tensor_view& tensor, quell::matrix_view<float> out) const {
        constexpr std::size_t rows_at_once = 64;
        std::vector<quell::result<void>> parts((out.rows() + rows_at_once - 1) / rows_at_once);
        threads_.parallel_for(parts.size(), [&](std::size_t p) {
            for (std::size_t r = p * rows_at_once; parts[p] && r < std::min(out.rows(), (p + 1) * rows_at_once); ++r) {
                parts[p] = decode_row(tensor, r, out.row(r));
            }
        });
        const auto bad = std::ranges::find_if(parts, [](const auto& part) { return !part; });
        return bad == parts.end() ? quell::result<void>() : *bad;
    }

    [[nodiscard]] quell::result<void> decode_row(const quell::io::tensor_view& tensor, std::size_t row,
                                                 std::span<float> out) const {
        QUELL_TRY_VOID(to_float(tensor, row * out.size(), out));
        if (const std::size_t at = first_not_finite(out); at < out.size()) {
            return failure(quell::errc::bad_value, tensor.name,
                           "holds " + std::to_string(out[at]) + " at element " + std::to_string(row * out.size() + at));
        }
        return {};
    }

    std::string name_;
    quell::executor threads_;
    quell::progress_callback progress_;
    weight_storage storage_;
    std::map<std::string, entry, std::less<>> tensors_;
    std::vector<std::function<void(const quell::io::tensor_view&)>> files_;
    quell::buffer<float> decoded_;
    std::size_t taken_ = 0;
};

}  // namespace transformer
