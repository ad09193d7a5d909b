// SPDX-License-Identifier: MIT
/// @file
/// What a kernel is: a stateless function on pointers, sizes and a range of rows or panels. No kernel allocates, starts
/// a thread, or reads or writes outside its operands. Any size may be 0.
///
/// The order of the float operations is part of the contract, so that every level gives the same bits for any split.
/// Integers are summed exactly inside a group; group after group acc = fma(float(sum), scale, acc), where `sum` counts
/// the zeros in and `scale` is the weight's, or its product with the activation's where that has groups too. At the end
/// y = fma(acc, activation scale, bias or 0), and where y accumulates one more addition. gemm_f32 takes k ascending
/// with one fma for each, from 0; then the bias is added, then y. README.md has the rest.
#pragma once

#include "quell/core/types.hpp"
#include "quell/kernels/cpu.hpp"
#include "quell/kernels/hadamard.hpp"
#include "quell/kernels/panels.hpp"

#include <cstddef>
#include <cstdint>

namespace quell::kernels {
inline namespace QUELL_BASELINE {

/// Activations [rows, cols] become rows of codes, one byte a code, with one scale a row or one a group.
///
/// code = clamp(nearbyint(v * (1 / scale))), v = x or x * channel_scale. NaN gives 0 and an infinity the largest code
/// of its sign; neither counts in the absmax. The scale is clip * absmax / qmax (qmax 127 or 7), at least 2^-126, and
/// 1 in a row without finite values other than 0.
///
/// With 16 bits qmax is 32385 and a row becomes two: code = 254 high + low, both in -127 ... 127, high first.
/// With zeros the codes run from the smallest to the largest v, 0 between them: scale = clip * (max - min) / 254, zero
/// = clamp(nearbyint(-127 - clip * min / scale)), code = clamp(nearbyint(v * (1 / scale)) + zero). 7 bits always have
/// zeros, and codes 0 ... 127: scale = clip * (max - min) / 127, zero = clamp(nearbyint(-clip * min / scale)).
struct quantize_args {
    const void* x = nullptr;
    dtype x_type = dtype::f32;  ///< f32, f16 or bf16
    std::size_t ldx = 0;        ///< in elements
    std::size_t rows = 0;
    std::size_t cols = 0;
    int bits = 8;                  ///< 8: codes -127 ... 127; 7: 0 ... 127, with zeros; 4: -8 ... 7; 16: two rows of 8
    float clip = 1.0F;             ///< of absmax, in (0, 1]
    float static_scale = 0.0F;     ///< > 0: the scale of every row
    std::int32_t static_zero = 0;  ///< with it, where there are zeros
    const float* channel_scale = nullptr;  ///< [cols] or none
    std::size_t group = 0;                 ///< k per entry of sums: a multiple of 32, or 0 for the whole row
    bool grouped_scales = false;           ///< a scale a group instead of one a row; not with zeros or a static scale
    std::int8_t* codes = nullptr;          ///< [rows], or [2 rows] with 16 bits
    std::size_t stride = 0;         ///< bytes between rows, >= padded_k(cols); the codes up to padded_k(cols) become 0
    float* scales = nullptr;        ///< one a row of codes, or [row of codes][groups]
    std::int32_t* sums = nullptr;   ///< [row of codes][groups_in(cols, group)] sums of codes, or none
    std::int32_t* zeros = nullptr;  ///< [rows], or none: symmetric codes; only with 8 and 7 bits
    hadamard_shape rotation{};      ///< of size cols: v = H (x * channel_scale), as hadamard_rows; of size 0: none
    const std::uint64_t* signs = nullptr;  ///< of the rotation
    float* rotated = nullptr;  ///< [cols + rotation.scratch_floats()], where a row is rotated; one for every thread
};

/// y [m, n] = or += activations times an integer weight, plus bias. k <= max_k; a group of the weight has at most 1024.
struct gemm_args {
    panel_view w;
    const std::int8_t* a = nullptr;  ///< rows as quantize_rows leaves them: never -128, zeros up to padded_k(k)
    std::size_t lda = 0;
    int a_bits = 8;                         ///< as quantized; with 16 two rows of codes make a row of y
    const float* a_scales = nullptr;        ///< as quantized
    bool a_grouped = false;                 ///< a scale a group: a_scales is [row of codes][w.shape.groups()]
    const std::int32_t* a_sums = nullptr;   ///< [row of codes][w.shape.groups()]
    const std::int32_t* a_zeros = nullptr;  ///< [m] or none; only with 8-bit weights; always with 7 bits
    std::size_t m = 0;
    const float* bias = nullptr;  ///< [n] or none
    void* y = nullptr;
    dtype y_type = dtype::f32;  ///< f32, f16 or bf16
    std::size_t ldy = 0;        ///< in elements
    bool accumulate = false;
};

/// y [m, n] = or += x [m, k] times a weight in f32 panels: element (16 p + j, kk) is panels[p * panel_stride + 16 kk +
/// j]. Columns from n on are padding in the last panel and are never stored.
struct gemm_f32_args {
    const float* x = nullptr;
    std::size_t ldx = 0;
    std::size_t m = 0;
    const float* panels = nullptr;
    std::size_t panel_stride = 0;  ///< in floats, >= 16 * k
    std::size_t n = 0;
    std::size_t k = 0;
    const float* bias = nullptr;  ///< [n] or none
    float* y = nullptr;
    std::size_t ldy = 0;
    bool accumulate = false;
};

/// c [rows, 8] -= a [rows, depth] b [depth, 8] in double, in the order of depth. Every product is rounded and its last
/// bit cleared before it is subtracted: the bits are the same at every level and with every compiler.
struct product_f64_args {
    const double* a = nullptr;
    std::size_t lda = 0;
    const double* b = nullptr;  ///< without gaps
    double* c = nullptr;
    std::size_t ldc = 0;
    std::size_t rows = 0;
    std::size_t depth = 0;
};
inline constexpr std::size_t f64_columns = 8;

/// The kernels of one level with the number of activation rows each takes at a time: a split of m wants multiples of
/// it.
struct kernel_table {
    isa level;
    void (*quantize_rows)(const quantize_args&, std::size_t row_begin, std::size_t row_end);
    void (*gemm)(const gemm_args&, std::size_t panel_begin, std::size_t panel_end);
    void (*gemm_f32)(const gemm_f32_args&, std::size_t panel_begin, std::size_t panel_end);
    void (*hadamard_rows)(const hadamard_args&, std::size_t row_begin, std::size_t row_end);
    void (*subtract_f64)(const product_f64_args&);
    std::size_t gemm_rows;
    std::size_t f32_rows;
};

/// The table of a level that differs from another only in its integer product.
[[nodiscard]] constexpr kernel_table with_gemm(kernel_table base, isa level, decltype(kernel_table::gemm) gemm,
                                               std::size_t gemm_rows) {
    base.level = level;
    base.gemm = gemm;
    base.gemm_rows = gemm_rows;
    return base;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
