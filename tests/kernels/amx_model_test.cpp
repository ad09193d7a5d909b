// SPDX-License-Identifier: MIT
// No emulator here has AMX, and few machines have it. So the text of its kernel also runs with the tile instructions
// played in software, as the processor's manual defines them; the rest of it is AVX-512 VNNI. On a processor with tiles
// the level itself is tested like any other.
#include "quell/kernels.hpp"
#include "quell/kernels/avx512vnni.hpp"
#include "support/integer_product.hpp"

#if QUELL_ARCH_X86_64
#include <array>

namespace amx_model {

/// The eight tiles and their configuration.
struct machine {
    std::array<std::array<std::array<std::uint8_t, 64>, 16>, 8> tiles = {};
    std::array<std::size_t, 8> rows = {};
    std::array<std::size_t, 8> bytes = {};

    void configure(const void* memory) {
        std::array<std::uint8_t, 64> c;
        std::memcpy(c.data(), memory, c.size());
        EXPECT_EQ(c[0], 1) << "palette";
        for (std::size_t t = 0; t < 8; ++t) {
            rows[t] = c[48 + t];
            bytes[t] = c[16 + 2 * t];
            EXPECT_TRUE(rows[t] <= 16 && bytes[t] <= 64 && c[17 + 2 * t] == 0);
        }
        tiles = {};
    }
    void load(std::size_t t, const void* from, std::ptrdiff_t stride) {
        tiles[t] = {};
        for (std::size_t r = 0; r < rows[t]; ++r) {
            std::memcpy(tiles[t][r].data(), static_cast<const char*>(from) + static_cast<std::ptrdiff_t>(r) * stride,
                        bytes[t]);
        }
    }
    void store(std::size_t t, void* to, std::ptrdiff_t stride) const {
        for (std::size_t r = 0; r < rows[t]; ++r) {
            std::memcpy(static_cast<char*>(to) + static_cast<std::ptrdiff_t>(r) * stride, tiles[t][r].data(), bytes[t]);
        }
    }
    /// c += a b over quads of bytes: a signed, b signed or not.
    template <typename B>
    void dot(std::size_t c, std::size_t a, std::size_t b) {
        EXPECT_TRUE(rows[c] == rows[a] && bytes[c] == bytes[b] && bytes[a] / 4 == rows[b]);
        for (std::size_t m = 0; m < rows[c]; ++m) {
            for (std::size_t n = 0; n < bytes[c] / 4; ++n) {
                std::int32_t sum = 0;
                std::memcpy(&sum, &tiles[c][m][4 * n], 4);
                for (std::size_t k = 0; k < bytes[a]; ++k) {
                    sum += static_cast<std::int8_t>(tiles[a][m][k]) * static_cast<B>(tiles[b][k / 4][4 * n + k % 4]);
                }
                std::memcpy(&tiles[c][m][4 * n], &sum, 4);
            }
        }
    }
};
inline machine tiles_in_software;

}  // namespace amx_model

#undef _tile_loadconfig
#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbssd
#undef _tile_dpbsud
#undef _tile_release
#define _tile_loadconfig(c) ::amx_model::tiles_in_software.configure(c)
#define _tile_loadd(t, p, s) ::amx_model::tiles_in_software.load(t, p, s)
#define _tile_stored(t, p, s) ::amx_model::tiles_in_software.store(t, p, s)
#define _tile_zero(t) ::amx_model::tiles_in_software.tiles[t] = {}
#define _tile_dpbssd(c, a, b) ::amx_model::tiles_in_software.dot<std::int8_t>(c, a, b)
#define _tile_dpbsud(c, a, b) ::amx_model::tiles_in_software.dot<std::uint8_t>(c, a, b)
#define _tile_release() static_cast<void>(0)

QUELL_AVX512_BEGIN
QUELL_TARGET_BEGIN("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace amx_in_software {
#include "quell/kernels/detail/gemm_tiles.inc"
}  // namespace amx_in_software
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
QUELL_AVX512_END

namespace {

using namespace support;

TEST(AmxInSoftware, GivesTheBitsOfTheSpecifiedFloatOrder) {
    if (kernels::by_isa(kernels::isa::avx512vnni) == nullptr) {
        GTEST_SKIP() << "the rest of the kernel needs avx512vnni";
    }
    const kernels::kernel_table table =
        kernels::with_gemm(kernels::avx512vnni::table, kernels::isa::amx, &kernels::amx_in_software::gemm, 32);
    rng random(5);
    for (std::size_t i = 0; i < samples(600); ++i) {
        const format& f = formats[i % std::size(formats)];
        const sizes s = {12 + random.below(i % 9 == 0 ? most_m - 12 : 60), random.below(71), 1 + random.below(300)};
        product p(f, s, codes::random, scales::random, i, activations_of(f, i / std::size(formats)));
        ASSERT_TRUE(same_bits(p.run(table, i % 2 == 0 ? edge::back : edge::front), p.expected()))
            << describe(f, s) << " turn " << i / std::size(formats);
    }
}

}  // namespace
#undef _tile_loadconfig
#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbssd
#undef _tile_dpbsud
#undef _tile_release
#endif
