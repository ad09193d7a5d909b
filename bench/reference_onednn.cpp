// SPDX-License-Identifier: MIT
#include "reference.hpp"

#if QUELL_BENCH_ONEDNN
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include <dlfcn.h>

#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace bench {

#if QUELL_BENCH_ONEDNN
namespace {

/// In the OpenMP that oneDNN itself has loaded, whichever that is.
void set_openmp_threads(std::size_t threads) {
    if (void* const set = dlsym(RTLD_DEFAULT, "omp_set_num_threads"); set != nullptr) {
        reinterpret_cast<void (*)(int)>(set)(static_cast<int>(threads));
    }
}

struct onednn_product {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    dnnl::memory x;
    dnnl::memory y;
    std::vector<dnnl::memory> weights;
    dnnl::matmul multiply;

    onednn_product(dnnl::memory::dim m, dnnl::memory::dim n, dnnl::memory::dim k, std::size_t copies) {
        using type = dnnl::memory::data_type;
        using tag = dnnl::memory::format_tag;
        dnnl::primitive_attr attributes;
        attributes.set_output_scales(1U << 1U, std::vector<float>(static_cast<std::size_t>(n), 0.01F));
        const dnnl::matmul::desc wanted({{m, k}, type::u8, tag::ab}, {{k, n}, type::s8, tag::any},
                                        {{m, n}, type::f32, tag::ab});
        const dnnl::matmul::primitive_desc chosen(wanted, attributes, engine);
        x = dnnl::memory(chosen.src_desc(), engine);
        y = dnnl::memory(chosen.dst_desc(), engine);
        fill(x, 5);
        for (std::size_t i = 0; i < copies; ++i) {
            weights.emplace_back(chosen.weights_desc(), engine);
            fill(weights.back(), 3);
        }
        multiply = dnnl::matmul(chosen);
    }

    /// Any codes do: the time does not depend on them.
    static void fill(const dnnl::memory& memory, int code) {
        std::memset(memory.get_data_handle(), code, memory.get_desc().get_size());
    }

    void run(std::size_t call) {
        multiply.execute(stream,
                         {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weights[call % weights.size()]}, {DNNL_ARG_DST, y}});
        stream.wait();
    }
};

}  // namespace

bool has_onednn() {
    return true;
}

counted_call make_onednn_product(std::size_t m, std::size_t n, std::size_t k, std::size_t copies, std::size_t threads) {
    using dim = dnnl::memory::dim;
    set_openmp_threads(threads);
    const auto product =
        std::make_shared<onednn_product>(static_cast<dim>(m), static_cast<dim>(n), static_cast<dim>(k), copies);
    return [product](std::size_t call) { product->run(call); };
}
#else
bool has_onednn() {
    return false;
}

counted_call make_onednn_product(std::size_t, std::size_t, std::size_t, std::size_t, std::size_t) {
    return {};
}
#endif

}  // namespace bench
