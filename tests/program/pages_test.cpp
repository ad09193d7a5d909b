// SPDX-License-Identifier: MIT
// The pages that `inspect` and `eval` write: whole, sound, about the right things, and the same every time.
#include "program/program.hpp"
#include "report/well_formed.hpp"
#include "support/llama_gguf.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

namespace {

using program_test::contents_of;
using program_test::outcome;

std::size_t occurrences(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++count;
    }
    return count;
}

struct written_page {
    outcome run;
    std::string html;
};

/// Runs the command with --html and looks whether the page is one.
written_page page_of(std::vector<std::string> arguments) {
    const support::temporary_folder folder;
    const std::string path = folder.file("page.html");
    arguments.insert(arguments.end(), {"--html", path, "--quiet"});
    const outcome run = program_test::quell(arguments);
    EXPECT_EQ(run.status, 0) << run.err;
    EXPECT_EQ(run.err, "");
    const std::string html = contents_of(path);
    EXPECT_EQ(report_test::fault_of(html), "");
    EXPECT_FALSE(report_test::names_no_number(html));
    EXPECT_EQ(html.find("<script"), std::string::npos);
    EXPECT_EQ(html.find("http"), html.find("http-equiv"));
    EXPECT_EQ(folder.names(), std::vector<std::string>{"page.html"});
    return {run, html};
}

TEST(InspectPage, ShowsEveryInputAndEveryLinearOfBothToys) {
    const written_page gated = page_of({"inspect", "--model", "toy", "--calib", "builtin", "--calib-tokens", "2048"});
    const written_page plain = page_of({"inspect", "--model", "toy-gelu", "--calib-tokens", "2048"});
    EXPECT_EQ(occurrences(gated.html, "<details id=\"input-"), 16U);
    EXPECT_EQ(occurrences(gated.html, "Token maxima over the window</text>"), 16U);
    for (const char* linear : {"blk.0.attn_q", "blk.3.ffn_down", "blk.2.ffn_gate"}) {
        EXPECT_NE(gated.html.find(">" + std::string(linear) + "</a>"), std::string::npos) << linear;
    }
    EXPECT_NE(plain.html.find(">blk.1.ffn_up</a>"), std::string::npos);
    EXPECT_EQ(plain.html.find("ffn_gate"), std::string::npos);
}

/// A chart of token scales for every kind of input, and a map of spike ratios.
TEST(InspectPage, ShowsSpikesOfEveryModule) {
    const written_page spiky = page_of({"inspect", "--model", "toy", "--plant", "tokens", "--calib-tokens", "2048"});
    EXPECT_EQ(occurrences(spiky.html, "Token scale, input of "), 2 * 4U);  // title and name of each picture
    EXPECT_NE(spiky.html.find("blk.1.ffn_down: "), std::string::npos);
    EXPECT_NE(spiky.run.out.find("argest spike ratio "), std::string::npos) << spiky.run.out;
    EXPECT_NE(spiky.run.out.find("blk.1.down_in"), std::string::npos) << spiky.run.out;
}

TEST(EvalPage, ShowsWhereBitsWentAndWhy) {
    const std::string html = page_of({"eval", "--tokens", "512", "--recipe", "rtn-w8a8,mxq-3.4"}).html;
    EXPECT_NE(html.find("Where mxq-3.4 puts its bits"), std::string::npos);
    EXPECT_EQ(html.find("Where rtn-w8a8"), std::string::npos);
    EXPECT_EQ(occurrences(html, " bits: an error of "), 28U);
}

TEST(InspectPage, PrintsAShortTable) {
    const written_page page = page_of({"inspect", "--model", "toy", "--calib-tokens", "1024"});
    EXPECT_TRUE(page.run.out.starts_with("toy, builtin: 1024 tokens in windows of 512; 28 linears behind 16 inputs"))
        << page.run.out;
    EXPECT_NE(page.run.out.find("smooth+rotate"), std::string::npos);
    EXPECT_NE(page.run.out.find("Rotation alone"), std::string::npos);
    EXPECT_EQ(
        occurrences(page.run.out, "blk."),
        occurrences(page.run.out, "\nblk.") + occurrences(page.run.out, " blk.") + occurrences(page.run.out, "(blk."));
}

TEST(InspectPage, IsTheSameForAnyNumberOfThreads) {
    const std::vector<std::string> arguments = {"inspect", "--model", "toy", "--calib-tokens", "700"};
    const auto with_threads = [&](const char* threads) {
        std::vector<std::string> all = arguments;
        all.insert(all.end(), {"--threads", threads});
        return page_of(all).html;
    };
    EXPECT_EQ(with_threads("1"), with_threads("3"));
}

TEST(InspectPage, FindsThePlantedMassiveTokens) {
    const written_page page = page_of({"inspect", "--model", "toy", "--plant", "tokens", "--calib-tokens", "4096"});
    EXPECT_NE(page.html.find("Massive tokens at "), std::string::npos);
    EXPECT_EQ(page.html.find("No massive tokens"), std::string::npos);
}

TEST(InspectPage, OptionsReachTheStudy) {
    const std::string plain = page_of({"inspect", "--calib-tokens", "600"}).html;
    const std::string finer = page_of({"inspect", "--calib-tokens", "600", "--bits", "8"}).html;
    const std::string harder = page_of({"inspect", "--calib-tokens", "600", "--alpha", "0.75"}).html;
    EXPECT_NE(plain.find("rounded to 4 bits"), std::string::npos);
    EXPECT_NE(finer.find("rounded to 8 bits"), std::string::npos);
    EXPECT_NE(harder.find("alpha 0.75"), std::string::npos);
    EXPECT_NE(plain.substr(plain.find("id=\"input-")), harder.substr(harder.find("id=\"input-")));
}

TEST(InspectPage, OneTokenIsEnough) {
    EXPECT_NE(page_of({"inspect", "--calib-tokens", "1"}).html.find("1 token in windows"), std::string::npos);
}

TEST(EvalPage, ShowsRowsChartsAndLayers) {
    const written_page page =
        page_of({"eval", "--model", "toy", "--tokens", "2048", "--recipe", "fp32,rtn-w8a8,rtn-w4a4"});
    for (const char* part : {"<td>rtn-w4a4</td>", "Perplexity", "Prefill, tokens/s", "Quality over size",
                             "error of the output over its size", "<title>blk.0.attn_q: "}) {
        EXPECT_NE(page.html.find(part), std::string::npos) << part;
    }
    EXPECT_EQ(occurrences(page.html, "<title>blk.0.attn_q: "), 2U);  // fp32 loses nothing
    EXPECT_NE(page.run.out.find("rtn-w4a4"), std::string::npos);
}

TEST(EvalPage, StandsBesideJson) {
    const support::temporary_folder folder;
    page_of({"eval", "--model", "toy", "--tokens", "1024", "--recipe", "smoothquant-w8a8", "--json",
             folder.file("out.json")});
    EXPECT_TRUE(contents_of(folder.file("out.json")).starts_with("{"));
}

TEST(EvalPage, OfAPackedFileHasNoLayers) {
    const support::temporary_folder folder;
    const std::string packed = folder.file("packed.safetensors");
    ASSERT_EQ(program_test::quell({"quantize", "--model", "toy", "--recipe", "rtn-w8a8", "--out", packed}).status, 0);
    const std::string html = page_of({"eval", "--model", packed, "--tokens", "1024"}).html;
    EXPECT_NE(html.find("<td>rtn-w8a8</td>"), std::string::npos);
    EXPECT_EQ(html.find("What each layer loses"), std::string::npos);
}

TEST(EvalPage, WithoutCalibrationShowsTheErrorsOfWeights) {
    const support::temporary_folder folder;
    const std::string model = folder.write("model.gguf", support::llama_gguf({}).build());
    const std::string text(4000, 'a');
    const std::string path = folder.write("text.txt", std::as_bytes(std::span(text)));
    const std::string html =
        page_of({"eval", "--model", model, "--text", path, "--tokens", "64", "--context", "16", "--recipe", "rtn-w8a8"})
            .html;
    EXPECT_NE(html.find("error of the weight over its size"), std::string::npos);
}

}  // namespace
