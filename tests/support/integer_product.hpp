// SPDX-License-Identifier: MIT
/// @file
/// One integer product with every operand against a guard page: what a kernel table makes of it, and what the contract
/// says. In all formats and with all ways of giving activations.
#pragma once

#include "quell/core/rng.hpp"
#include "quell/core/two_level.hpp"
#include "quell/packing/pack.hpp"
#include "reference/kernel_product.hpp"
#include "support/guarded.hpp"
#include "support/levels.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace support {

namespace kernels = quell::kernels;
namespace packing = quell::packing;
using quell::bf16;
using quell::code_range;
using quell::code_set;
using quell::codes_of;
using quell::dtype;
using quell::f16;
using quell::granularity;
using quell::make_quantized;
using quell::quantized;
using quell::rng;
using quell::scale_type;
using quell::scheme;
using quell::to_bf16;
using quell::to_f16;
using quell::to_f32;
using quell::traits;
using quell::value_of;
using quell::zero_type;

inline constexpr std::size_t most_m = 140;
inline constexpr std::size_t most_n = 80;
inline constexpr std::size_t most_k = 300;

struct format {
    const char* name;
    scheme form;
};

constexpr quell::scheme grouped(int bits, std::size_t group, scale_type scales, code_set codes = code_set::symmetric,
                                zero_type zeros = zero_type::none) {
    return {
        .bits = bits, .codes = codes, .reach = granularity::group, .group = group, .scales = scales, .zeros = zeros};
}

inline constexpr auto with_zero = code_set::zero_point;
inline constexpr format formats[] = {
    {"w8", {.bits = 8}},
    {"w8 zero", {.bits = 8, .codes = with_zero, .zeros = zero_type::integer}},
    {"w8 g64 real zero", grouped(8, 64, scale_type::f32, with_zero, zero_type::real)},
    {"w4 row", {.bits = 4}},
    {"w4 g32 f16", grouped(4, 32, scale_type::f16)},
    {"w4 g32 f32", grouped(4, 32, scale_type::f32)},
    {"w4 g64 f16", grouped(4, 64, scale_type::f16)},
    {"w4 g128 f16", grouped(4, 128, scale_type::f16)},
    {"w4 g32 zero", grouped(4, 32, scale_type::f16, with_zero, zero_type::integer)},
    {"w4 g128 zero", grouped(4, 128, scale_type::f32, with_zero, zero_type::integer)},
    {"w4 g64 codes8 real zero", grouped(4, 64, scale_type::codes8, with_zero, zero_type::real)},
    {"w3 g32 codes8", grouped(3, 32, scale_type::codes8)},
    {"w2 g96 codes8 zero", grouped(2, 96, scale_type::codes8, with_zero, zero_type::integer)},
    {"w8 g128 codes8 real zero", grouped(8, 128, scale_type::codes8, with_zero, zero_type::real)},
    {"w4 g64 real zero", grouped(4, 64, scale_type::f16, with_zero, zero_type::real)},
    {"w4 row real zero", {.bits = 4, .codes = with_zero, .zeros = zero_type::real}},
    {"w3 row", {.bits = 3}},
    {"w3 g32", grouped(3, 32, scale_type::f16)},
    {"w3 g96 zero", grouped(3, 96, scale_type::f16, with_zero, zero_type::integer)},
    {"w2 g64", grouped(2, 64, scale_type::f16)},
    {"w2 g128 real zero", grouped(2, 128, scale_type::f32, with_zero, zero_type::real)},
    {"w1 row", {.bits = 1, .codes = code_set::sign}},
    {"w1 g128", grouped(1, 128, scale_type::f16, code_set::sign)},
    {"w1 g32 mean", grouped(1, 32, scale_type::f32, code_set::sign_mean, zero_type::real)},
};

enum class codes { random, extreme, all_lowest, zero };
enum class scales { one, random };

/// How the activations of a product are given.
struct activations {
    bool planes = false;   ///< two rows of codes for each row of y
    bool grouped = false;  ///< a scale a group
    bool zeros = false;    ///< a zero a row
    bool seven = false;    ///< 7 bits, which have zeros too
    dtype y_type = dtype::f32;
};

struct sizes {
    std::size_t m;
    std::size_t n;
    std::size_t k;
};

inline std::size_t bytes_of(dtype type) {
    return traits(type).bytes;
}
inline float value_at(const std::byte* p, dtype type) {
    float v = 0.0F;
    f16 half;
    bf16 brain;
    switch (type) {
        case dtype::f16: std::memcpy(&half, p, 2); return to_f32(half);
        case dtype::bf16: std::memcpy(&brain, p, 2); return to_f32(brain);
        default: std::memcpy(&v, p, 4); return v;
    }
}
inline void put_value(std::byte* p, dtype type, float v) {
    const f16 half = to_f16(v);
    const bf16 brain = to_bf16(v);
    switch (type) {
        case dtype::f16: std::memcpy(p, &half, 2); return;
        case dtype::bf16: std::memcpy(p, &brain, 2); return;
        default: std::memcpy(p, &v, 4);
    }
}

/// One product with every operand against a guard page.
class product {
public:
    product(const format& f, sizes s, codes kind, scales scale_kind, std::uint64_t seed, activations how = {})
        : s_(s), how_(how), random_(seed), q_(make_quantized(f.form, s.n, s.k)) {
        const code_range range = codes_of(f.form);
        for (auto& code : q_.codes.elements()) {
            code = draw(range.low, range.high, kind);
        }
        for (auto& scale : q_.scales.elements()) {
            scale = scale_kind == scales::one             ? 1.0F
                    : f.form.scales == scale_type::codes8 ? static_cast<float>(1 + random_.below(255)) * 0x1p-12F
                                                          : half(random_.uniform(0.001, 0.1));
        }
        for (auto& zero : q_.zeros.elements()) {
            zero = f.form.zeros == zero_type::integer ? static_cast<float>(draw(range.low, range.high, codes::random))
                   : scale_kind == scales::one        ? std::floor(half(random_.uniform(0.0, 3.0)))
                   : f.form.scales == scale_type::codes8
                       ? quell::zero_steps_of(f.form.bits).value(static_cast<int>(random_.below(256)))
                       : half(random_.uniform(-1.0, 3.0));
        }
        rows_ = how.planes ? 2 * s.m : s.m;
        stride_ = kernels::padded_k(s.k) + kernels::k_step * random_.below(2);
        ldy_ = s.n + random_.below(3);
        accumulate_ = random_.below(2) == 1;
        has_bias_ = random_.below(2) == 1;
        a_.assign(rows_ * stride_, 0);
        for (std::size_t r = 0; r < rows_; ++r) {
            for (std::size_t k = 0; k < s.k; ++k) {
                a_[r * stride_ + k] = draw(how.seven ? 0 : -127, 127, kind);
            }
        }
        group_ = f.form.reach == granularity::group ? f.form.group : s.k;
        groups_ = f.form.reach == granularity::group ? kernels::groups_in(s.k, group_) : 1;
        fill_activations(scale_kind);
        before_.resize(y_size() * bytes_of(how.y_type));
        for (std::size_t i = 0; i < y_size(); ++i) {
            put_value(before_.data() + i * bytes_of(how.y_type), how.y_type,
                      scale_kind == scales::one ? static_cast<float>(random_.below(100))
                                                : static_cast<float>(random_.normal()));
        }
    }

    /// The result of a kernel table, panels [begin, end) of each call apart where `split`.
    std::vector<std::byte> run(const kernels::kernel_table& table, edge where, bool split = false) {
        auto packed = packing::pack(q_);
        EXPECT_TRUE(packed) << (packed ? "" : packed.error().message);
        const kernels::panel_view panels = packed->panels();
        static support::guarded<std::byte> panel_memory(most_n * (most_k + 64) * 4);
        static support::guarded<std::int8_t> a_memory(2 * most_m * 2 * (most_k + 64));
        static support::guarded<float> a_scale_memory(2 * most_m * most_k);
        static support::guarded<std::int32_t> sum_memory(2 * most_m * most_k);
        static support::guarded<std::int32_t> zero_memory(most_m);
        static support::guarded<float> bias_memory(most_n);
        static support::guarded<std::byte> y_memory(most_m * (most_n + 3) * 4);
        const std::size_t row_end = rows_ == 0 ? 0 : (rows_ - 1) * stride_ + kernels::padded_k(s_.k);
        std::byte* y = y_memory.place_copy(before_.data(), before_.size(), where);
        const kernels::gemm_args args = {
            .w = {panels.shape, panel_memory.place_copy(panels.data, panels.shape.bytes(), where)},
            .a = a_memory.place_copy(a_.data(), row_end, where),
            .lda = stride_,
            .a_bits = how_.planes  ? 16
                      : how_.seven ? 7
                                   : 8,
            .a_scales = a_scale_memory.place_copy(a_scales_.data(), a_scales_.size(), where),
            .a_grouped = how_.grouped,
            .a_sums = sum_memory.place_copy(a_sums_.data(), a_sums_.size(), where),
            .a_zeros = how_.zeros ? zero_memory.place_copy(a_zeros_.data(), a_zeros_.size(), where) : nullptr,
            .m = s_.m,
            .bias = has_bias_ ? bias_memory.place_copy(bias_.data(), bias_.size(), where) : nullptr,
            .y = y,
            .y_type = how_.y_type,
            .ldy = ldy_,
            .accumulate = accumulate_,
        };
        const std::size_t all = panels.shape.panels();
        for (std::size_t p = 0; p < all; p += split ? 1 : all) {
            table.gemm(args, p, split ? p + 1 : all);
        }
        return {y, y + before_.size()};
    }

    /// What the definition says.
    [[nodiscard]] std::vector<std::byte> expected() const {
        return each_output([&](std::size_t r, std::size_t c) {
            float y = has_bias_ ? bias_[c] : 0.0F;
            for (std::size_t plane = planes(); plane-- > 0;) {
                const std::size_t at = planes() * r + plane;
                const std::span<const float> group_scales =
                    how_.grouped ? std::span(a_scales_).subspan(at * groups_, groups_) : std::span<const float>();
                const std::span<const float> zeros = q_.zeros.rows() == 0 ? std::span<const float>() : q_.zeros.row(c);
                const reference::weight_row w = {q_.form.codes, q_.codes.row(c), q_.scales.row(c), zeros, group_};
                const float sum = reference::group_sums(row(at), w, how_.zeros ? a_zeros_[r] : 0, group_scales);
                y = how_.grouped ? sum + y : std::fma(sum, a_scales_[at], y);
            }
            return y;
        });
    }

    /// The same from exact sums, for scales of one and activations in one row of codes.
    [[nodiscard]] std::vector<std::byte> expected_integers() const {
        return each_output([&](std::size_t r, std::size_t c) {
            const std::span<const std::int8_t> a = row(r);
            const int zero = how_.zeros ? a_zeros_[r] : 0;
            double sum = has_bias_ ? bias_[c] : 0.0F;
            for (std::size_t k = 0; k < s_.k; ++k) {
                sum += (a[k] - zero) * double{value_of(q_, c, k)};
            }
            return static_cast<float>(sum);
        });
    }

private:
    [[nodiscard]] std::size_t planes() const { return how_.planes ? 2 : 1; }
    [[nodiscard]] std::span<const std::int8_t> row(std::size_t r) const {
        return std::span<const std::int8_t>(a_).subspan(r * stride_, s_.k);
    }
    static float half(double v) { return to_f32(to_f16(static_cast<float>(v))); }

    template <typename Value>
    [[nodiscard]] std::vector<std::byte> each_output(Value value) const {
        std::vector<std::byte> y = before_;
        for (std::size_t r = 0; r < s_.m; ++r) {
            for (std::size_t c = 0; c < s_.n; ++c) {
                std::byte* out = y.data() + (r * ldy_ + c) * bytes_of(how_.y_type);
                const float v = value(r, c);
                put_value(out, how_.y_type, accumulate_ ? v + value_at(out, how_.y_type) : v);
            }
        }
        return y;
    }

    std::int8_t draw(int low, int high, codes kind) {
        const auto span = static_cast<std::size_t>(high - low + 1);
        switch (kind) {
            case codes::random: return static_cast<std::int8_t>(low + static_cast<int>(random_.below(span)));
            case codes::extreme: return static_cast<std::int8_t>(random_.below(2) == 0 ? low : high);
            case codes::all_lowest: return static_cast<std::int8_t>(low);
            case codes::zero: break;
        }
        return 0;
    }

    void fill_activations(scales kind) {
        const auto scale = [&] { return kind == scales::one ? 1.0F : static_cast<float>(random_.uniform(0.001, 0.1)); };
        for (std::size_t r = 0; r < rows_; ++r) {
            for (std::size_t g = 0; g < groups_; ++g) {
                std::int32_t sum = 0;
                for (std::size_t k = g * group_; k < std::min(s_.k, (g + 1) * group_); ++k) {
                    sum += a_[r * stride_ + k];
                }
                a_sums_.push_back(sum);
                if (how_.grouped || g == 0) {
                    a_scales_.push_back(scale());
                }
            }
            if (groups_ == 0 && !how_.grouped) {
                a_scales_.push_back(scale());
            }
        }
        for (std::size_t r = 0; r < s_.m; ++r) {
            a_zeros_.push_back(draw(how_.seven ? 0 : -127, 127, codes::random));
        }
        for (std::size_t c = 0; c < s_.n; ++c) {
            bias_.push_back(kind == scales::one ? static_cast<float>(c) : static_cast<float>(random_.normal()));
        }
    }

    [[nodiscard]] std::size_t y_size() const { return s_.m == 0 ? 0 : (s_.m - 1) * ldy_ + s_.n; }

    sizes s_;
    activations how_;
    rng random_;
    quantized q_;
    std::size_t rows_ = 0;
    std::size_t stride_ = 0;
    std::size_t ldy_ = 0;
    std::size_t group_ = 0;
    std::size_t groups_ = 0;
    bool accumulate_ = false;
    bool has_bias_ = false;
    std::vector<std::int8_t> a_;
    std::vector<float> a_scales_;
    std::vector<std::int32_t> a_sums_;
    std::vector<std::int32_t> a_zeros_;
    std::vector<float> bias_;
    std::vector<std::byte> before_;
};

template <typename T>
inline bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Every way of giving activations that the format takes, by turns.
inline activations activations_of(const format& f, std::size_t turn) {
    constexpr dtype types[] = {dtype::f32, dtype::f16, dtype::bf16};
    const bool zeros = f.form.bits == 8 && turn % 3 != 1 && turn % 2 == 1;
    return {.planes = turn % 3 == 1,
            .grouped = turn % 5 == 2,
            .zeros = zeros,
            .seven = zeros && turn % 4 == 1,
            .y_type = types[turn / 2 % 3]};
}

inline std::string describe(const format& f, sizes s) {
    return std::string(f.name) + " m=" + std::to_string(s.m) + " n=" + std::to_string(s.n) +
           " k=" + std::to_string(s.k);
}

}  // namespace support
