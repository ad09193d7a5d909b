// SPDX-License-Identifier: MIT
// quell-bench: how fast the products are, against the limits of this machine and against other libraries.
#include "quell/core/result.hpp"
#include "quell/kernels/dispatch.hpp"
#include "reference.hpp"
#include "settings.hpp"

#include <CLI/CLI.hpp>
#include <benchmark/benchmark.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace {

using quell::errc;
using quell::error;
using quell::result;

constexpr int bad_usage = 2;

struct arguments {
    bool summary = false;
    std::string isa;
    std::vector<std::string> formats;
    std::vector<std::string> shapes = {"1536x576", "4096x4096", "11008x4096", "4096x11008", "1001x1003"};
    std::vector<std::size_t> rows = {1, 4, 16, 128, 512};
    bench::settings settings;
};

void add_options(CLI::App& app, arguments& a) {
    const CLI::Range sane_rows(1, 1 << 16);
    app.add_flag("--summary", a.summary, "Print a table, with limits and other libraries; otherwise Google Benchmark");
    app.add_option("--json", a.settings.json, "Write the table to this file as well");
    app.add_option("--isa", a.isa, "The instruction set; default: QUELL_ISA or the strongest; all without --summary");
    app.add_option("--threads", a.settings.threads, "Threads of the summary; default 1")->check(CLI::Range(1, 1024));
    app.add_option("--formats", a.formats, "Names with commas between them, as in the table")->delimiter(',');
    app.add_option("--m", a.rows, "Numbers of activation rows; default 1,4,16,128,512")
        ->delimiter(',')
        ->check(sane_rows);
    app.add_option("--shapes", a.shapes, "Weights as OUTxIN, with commas between them")->delimiter(',');
    app.add_option("--seconds", a.settings.seconds, "For each row of the summary; default 0.5")
        ->check(CLI::Range(1e-6, 1e6));
    app.allow_extras();
}

result<bench::sizes> parse_shape(std::string_view text) {
    constexpr std::size_t most = 1U << 17U;
    const char* const end = text.data() + text.size();
    bench::sizes s;
    const auto [x, first_fault] = std::from_chars(text.data(), end, s.n);
    if (first_fault == std::errc() && x != end && *x == 'x') {
        const auto [last, second_fault] = std::from_chars(x + 1, end, s.k);
        if (second_fault == std::errc() && last == end && s.n - 1 < most && s.k - 1 < most) {
            return s;
        }
    }
    return error{errc::bad_value, "--shapes " + std::string(text) + ": not a size such as 4096x4096, or too large"};
}

/// The kernels to measure: of --isa, or the ones a program would get, or all of this machine.
result<void> choose_levels(const arguments& a, bench::settings& s) {
    if (!a.isa.empty()) {
        const auto level = quell::kernels::isa_named(a.isa);
        if (!level) {
            return error{errc::unsupported, "--isa " + a.isa + ": no such instruction set"};
        }
        QUELL_TRY_VOID(quell::kernels::lower_to(*level));
    } else {
        QUELL_TRY_VOID(quell::kernels::isa_from_environment());
    }
    s.scalar = quell::kernels::by_isa(quell::kernels::isa::scalar);
    s.levels = {&quell::kernels::best()};
    if (!a.summary && a.isa.empty()) {
        s.levels.clear();
        for (const quell::kernels::isa level : quell::kernels::available()) {
            s.levels.push_back(quell::kernels::by_isa(level));
        }
    }
    return {};
}

result<void> choose_formats(const arguments& a, bench::settings& s) {
    for (const std::string& name : a.formats) {
        s.formats.push_back(bench::format_named(name));
        if (s.formats.back() == nullptr) {
            return error{errc::unsupported, "--formats " + name + ": no such format"};
        }
    }
    for (std::size_t i = 0; i < bench::default_formats && a.formats.empty(); ++i) {
        s.formats.push_back(&bench::formats[i]);
    }
    return {};
}

result<bench::settings> settings_of(const arguments& a) {
    bench::settings s = a.settings;
    s.rows = a.rows;
    std::sort(s.rows.begin(), s.rows.end());
    QUELL_TRY_VOID(choose_levels(a, s));
    QUELL_TRY_VOID(choose_formats(a, s));
    for (const std::string& text : a.shapes) {
        QUELL_TRY(const bench::sizes shape, parse_shape(text));
        s.shapes.push_back(shape);
    }
    return s;
}

int misuse(const std::string& message) {
    std::fprintf(stderr, "quell-bench: %s\n", message.c_str());
    return bad_usage;
}

void help_openblas(char** argv) {
    using quell::kernels::isa;
    if (quell::kernels::processor_has(isa::avx2)) {
        bench::restart_if_openblas_is_lost(quell::kernels::processor_has(isa::avx512) ? "SkylakeX" : "Haswell", argv);
    }
}

int run_google_rows(const bench::settings& s, const char* program, const std::vector<std::string>& others) {
    std::vector<char*> argv = {const_cast<char*>(program)};
    for (const std::string& text : others) {
        argv.push_back(const_cast<char*>(text.c_str()));
    }
    argv.push_back(nullptr);
    int argc = static_cast<int>(argv.size()) - 1;
    bench::register_products(s);
    benchmark::Initialize(&argc, argv.data());
    if (benchmark::ReportUnrecognizedArguments(argc, argv.data())) {
        return bad_usage;
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app(
        "quell-bench: how fast quell's products are; without --summary it takes the options of Google Benchmark");
    arguments a;
    add_options(app, a);
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp& e) {
        return app.exit(e);
    } catch (const CLI::ParseError& e) {
        return misuse(e.what());
    }
    const result<bench::settings> s = settings_of(a);
    if (!s) {
        return misuse(s.error().message);
    }
    const std::vector<std::string> others = app.remaining();
    if (!a.summary) {
        return run_google_rows(*s, argv[0], others);
    }
    help_openblas(argv);
    return others.empty() ? bench::print_summary(*s) : misuse("what is " + others.front() + "?");
}
