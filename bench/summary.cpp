// SPDX-License-Identifier: MIT
#include "summary.hpp"

#include "quell/core/thread_pool.hpp"
#include "reference.hpp"
#include "settings.hpp"
#include "timing.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <unistd.h>

namespace bench {
namespace {

std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        if (line.rfind("model name", 0) == 0) {
            return line.substr(line.find(':') + 2);
        }
    }
    return "unknown processor";
}

constexpr const char* compiler_name() {
#if defined(__clang__)
    return __VERSION__;
#else
    return "g++ " __VERSION__;
#endif
}

/// One line on a terminal that the next row overwrites.
class progress_line {
public:
    void show(const std::string& what) const {
        if (terminal_) {
            std::fprintf(stderr, "\r\033[K%s", what.c_str());
        }
    }

private:
    bool terminal_ = isatty(STDERR_FILENO) == 1;
};

/// What the float libraries multiply: any numbers do, the time does not depend on them.
class float_operands {
public:
    float_operands(sizes s, std::size_t most_rows, bool cold)
        : size_(s),
          copies_(copies_for(s.n * s.k * sizeof(float), cold)),
          x_(most_rows * s.k),
          w_(copies_ * s.n * s.k),
          y_(most_rows * s.n) {
        std::fill(x_.begin(), x_.end(), 0.5F);
        std::fill(w_.begin(), w_.end(), 0.25F);
    }

    [[nodiscard]] float_product product(std::size_t m, std::size_t call) {
        const float* w = w_.data() + call % copies_ * size_.n * size_.k;
        return {.x = x_.data(), .w = w, .y = y_.data(), .m = m, .n = size_.n, .k = size_.k};
    }

private:
    sizes size_;
    std::size_t copies_;
    quell::buffer<float> x_;
    quell::buffer<float> w_;
    quell::buffer<float> y_;
};

/// The rows of one shape.
class shape_bench {
public:
    shape_bench(const settings& wanted, sizes size, quell::thread_pool& pool, summary& report)
        : wanted_(wanted),
          size_(size),
          pool_(pool),
          report_(report),
          cold_(wanted.rows.front() <= cold_rows),
          floats_(size, wanted.rows.back(), cold_) {}

    void measure() {
        print_shape(size_);
        for (const format* f : wanted_.formats) {
            product p(*f, size_, wanted_.rows.back(), cold_);
            for (const std::size_t m : wanted_.rows) {
                announce(f->name, m);
                add(measure_product(*f, p, m));
            }
            if (!p.is_float()) {
                announce(f->name, 0);
                report_.packing.push_back({std::string(f->name), size_, packing_seconds(p)});
            }
        }
        for (const std::size_t m : wanted_.rows) {
            announce("oneDNN", m);
            if (has_onednn()) {
                add(measure_onednn(m));
            }
        }
        progress_.show("");
        print_packing(report_.packing, size_);
    }

private:
    [[nodiscard]] const quell::kernels::kernel_table& table() const { return *wanted_.levels.front(); }

    void announce(std::string_view what, std::size_t m) const {
        progress_.show(std::to_string(size_.n) + "x" + std::to_string(size_.k) + " " + std::string(what) +
                       (m == 0 ? ", packing" : ", M = " + std::to_string(m)));
    }

    void add(const summary_row& row) {
        progress_.show("");
        print_row(row);
        report_.rows.push_back(row);
    }

    [[nodiscard]] summary_row new_row(std::string_view format, std::string_view isa, std::size_t m) const {
        summary_row row;
        row.format = format;
        row.isa = isa;
        row.m = m;
        row.size = size_;
        return row;
    }

    /// Adds a float library to those that are measured in turn, after `all.front()`.
    void add_reference(const float_reference* reference, std::size_t m, std::vector<contender>& all) {
        if (reference != nullptr) {
            reference->set_threads(wanted_.threads);
            const bool cold = m <= cold_rows;
            all.push_back({[this, reference, m, cold](std::size_t call) {
                               reference->multiply(floats_.product(m, cold ? call : 0));
                           },
                           !cold});
        }
    }

    /// Measures all in turn; the float libraries are the last ones and go into the row, as the first one does.
    void measure_with_references(std::vector<contender>& all, std::size_t m, summary_row& row) {
        const float_reference* const eigen_here = wanted_.threads == 1 ? eigen() : nullptr;
        add_reference(openblas(), m, all);
        add_reference(eigen_here, m, all);
        measure_in_turn(all, wanted_.threads, wanted_.seconds);
        row.seconds = all.front().seconds();
        row.least_seconds = all.front().least_seconds();
        if (eigen_here != nullptr) {
            row.eigen_seconds = all.back().seconds();
        }
        if (openblas() != nullptr) {
            row.openblas_seconds = all[all.size() - (eigen_here != nullptr ? 2 : 1)].seconds();
        }
    }

    /// No product is faster than its multiplications, nor, where weights come from memory, than reading them.
    [[nodiscard]] double limit_seconds(const product& p, std::size_t m) const {
        const limits& most = report_.most;
        const double peak = p.is_float() ? most.float_operations
                            : p.has_w8() ? most.w8_operations
                                         : most.narrow_operations;
        const double operations = 2.0 * static_cast<double>(p.planes() * m) * static_cast<double>(size_.n * size_.k);
        const double reading = m <= cold_rows ? static_cast<double>(p.weight_bytes()) / most.read_bytes : 0;
        return 1e-9 * std::max(operations / peak, reading);
    }

    [[nodiscard]] summary_row measure_product(const format& f, product& p, std::size_t m) {
        summary_row row = new_row(f.name, quell::kernels::name(table().level), m);
        p.run(table(), m, 0, pool_);
        row.exact = p.right(*wanted_.scalar, m);
        const bool cold = m <= cold_rows;
        std::vector<contender> all;
        all.push_back({[&](std::size_t call) { p.run(table(), m, cold ? call : 0, pool_); }, !cold});
        if (!p.is_float()) {
            all.push_back({[&](std::size_t) { p.quantize(table(), m, pool_); }, true});
        }
        measure_with_references(all, m, row);
        row.weight_bytes = static_cast<double>(p.weight_bytes());
        row.limit_seconds = limit_seconds(p, m);
        if (!p.is_float()) {
            row.quantize_seconds = all[1].seconds();
        }
        return row;
    }

    [[nodiscard]] summary_row measure_onednn(std::size_t m) {
        summary_row row = new_row("onednn-w8a8", "onednn", m);
        const bool cold = m <= cold_rows;
        const std::size_t copies = copies_for(size_.n * size_.k, cold);
        std::vector<contender> all;
        all.push_back({make_onednn_product(m, size_.n, size_.k, copies, wanted_.threads), !cold});
        measure_with_references(all, m, row);
        row.weight_bytes = static_cast<double>(size_.n * size_.k);
        return row;
    }

    [[nodiscard]] double packing_seconds(const product& p) {
        std::vector<contender> all;
        all.push_back({[&](std::size_t) { p.pack(pool_); }});
        measure_in_turn(all, wanted_.threads, wanted_.seconds / 5);
        return all.front().seconds();
    }

    const settings& wanted_;
    sizes size_;
    quell::thread_pool& pool_;
    summary& report_;
    bool cold_;
    float_operands floats_;
    progress_line progress_;
};

summary new_summary(const settings& wanted, quell::thread_pool& pool) {
    summary s;
    s.processor = processor_name();
    s.compiler = compiler_name();
    s.isa = quell::kernels::name(wanted.levels.front()->level);
    s.threads = wanted.threads;
    const auto note = [&](bool here, const std::string& name) { (here ? s.compared_with : s.missing).push_back(name); };
    note(openblas() != nullptr, openblas_core().empty() ? "OpenBLAS" : "OpenBLAS (" + openblas_core() + ")");
    note(eigen() != nullptr, "Eigen");
    note(has_onednn(), "oneDNN");
    s.most = measure_limits(wanted.levels.front()->level, pool, wanted.seconds);
    return s;
}

}  // namespace

int print_summary(const settings& wanted) {
    std::ofstream file;
    if (!wanted.json.empty()) {
        file.open(wanted.json);
        if (!file) {
            std::fprintf(stderr, "quell-bench: cannot write %s\n", wanted.json.c_str());
            return EXIT_FAILURE;
        }
    }
    quell::thread_pool pool(wanted.threads);
    summary report = new_summary(wanted, pool);
    print_head(report);
    for (const sizes size : wanted.shapes) {
        shape_bench(wanted, size, pool, report).measure();
    }
    const bool right =
        std::none_of(report.rows.begin(), report.rows.end(), [](const summary_row& r) { return r.exact && !*r.exact; });
    if (file.is_open()) {
        file << json_of(report).dump(1) << '\n';
        file.close();
    }
    return right && file ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace bench
