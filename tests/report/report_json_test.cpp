// SPDX-License-Identifier: MIT
#include "quell/report/report_json.hpp"

#include "quell/report/json_fields.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using namespace quell::report;
using quell::granularity;
using quell::scheme;

layer_report layer(const char* site, int bits, std::size_t stored_bytes) {
    layer_report report{.site = site, .module = "q", .out_features = 4, .in_features = 8};
    report.weights.bits = bits;
    report.stored_bytes = stored_bytes;
    return report;
}

TEST(LayerReport, TotalsCoverTheQuantizedSitesOnly) {
    model_report report{.recipe = "r"};
    report.layers.push_back(layer("a", 8, 48));
    report.layers.push_back(layer("b", 4, 20));
    report.layers.push_back(layer("c", 32, 128));
    report.layers.back().fallback = "because";
    const totals sums = totals_of(report);
    EXPECT_EQ(sums.parameters, 64U);
    EXPECT_EQ(sums.stored_bytes, 68U);
    EXPECT_DOUBLE_EQ(sums.nominal_bits, 6.0);
    EXPECT_DOUBLE_EQ(sums.stored_bits, 8.5);
    EXPECT_EQ(fallbacks_of(report), 1U);
    EXPECT_DOUBLE_EQ(model_bits_stored(report, 4, 16), 8.0 * (48 + 20 + 128 + 16) / 100.0);
}

TEST(LayerReport, TotalsOfAFloatModelCoverAllSites) {
    model_report report{.recipe = "fp32"};
    report.layers.push_back(layer("a", 32, 128));
    EXPECT_DOUBLE_EQ(totals_of(report).stored_bits, 32.0);
}

TEST(LayerReport, EmptyModelHasNoBits) {
    EXPECT_EQ(totals_of({}).stored_bits, 0.0);
    EXPECT_EQ(model_bits_stored({}, 0, 0), 0.0);
}

TEST(ReportJson, KeepsTheOrderOfTheKeysAndWritesInfinityAsNull) {
    model_report report{.recipe = "rtn-w8a8"};
    report.layers.push_back(layer("a", 8, 48));
    report.layers[0].weight_error.add(1.0F, 1.0F);
    const auto json = to_json(report);
    EXPECT_EQ(json.begin().key(), "recipe");
    EXPECT_EQ(json["layers"][0].begin().key(), "site");
    EXPECT_TRUE(json["layers"][0]["weight_error"]["snr_db"].is_null());
    EXPECT_TRUE(json["layers"][0]["output_error"].is_null());
    EXPECT_EQ(json["layers"][0]["weight_bits_stored"].get<double>(), 12.0);
    EXPECT_EQ(json["totals"]["parameters"].get<int>(), 32);
}

TEST(Names, DescribeAScheme) {
    EXPECT_EQ(describe({.bits = 4, .reach = granularity::group, .group = 128, .scales = quell::scale_type::f16}),
              "4 bit symmetric, f16 scale per 128");
    EXPECT_EQ(describe({.bits = 8}), "8 bit symmetric, f32 scale per channel");
    EXPECT_EQ(describe({.bits = 32}), "float");
}

scheme read(const std::string& text, std::string& message) {
    const auto json = nlohmann::json::parse(text, nullptr, false);
    scheme form;
    json_reader visit(json, "plan");
    fields(visit, form);
    const auto status = visit.finish();
    message = status ? "" : status.error().message;
    return form;
}

TEST(JsonFields, ReadsBackWhatItWrites) {
    const scheme form{.bits = 4,
                      .codes = quell::code_set::zero_point,
                      .reach = granularity::group,
                      .group = 32,
                      .scales = quell::scale_type::bf16,
                      .zeros = quell::zero_type::real};
    std::string message;
    EXPECT_EQ(read(json_writer::to_value(form).dump(), message), form);
    EXPECT_EQ(message, "");
}

TEST(JsonFields, WritesFloatsAsPeopleDo) {
    EXPECT_EQ(json_writer::to_value(0.9F).dump(), "0.9");
    EXPECT_EQ(json_writer::to_value(1.0F / 3.0F).get<float>(), 1.0F / 3.0F);
}

TEST(JsonFields, NamesWhatIsWrong) {
    std::string message;
    read(R"({"bits": 4, "bit": 5})", message);
    EXPECT_EQ(message, "plan: unknown key 'bit'; known are bits, codes, reach, group, scales, zeros");
    read(R"({"bits": "four"})", message);
    EXPECT_EQ(message, "plan.bits: expected an integer in range, found \"four\"");
    read(R"({"bits": 99999999999999999999})", message);
    EXPECT_NE(message.find("plan.bits: expected an integer in range"), std::string::npos);
    read(R"({"group": -1})", message);
    EXPECT_EQ(message, "plan.group: expected an integer of at least 0, found -1");
    read(R"({"codes": "odd"})", message);
    EXPECT_EQ(message, "plan.codes: expected one of symmetric, zero_point, sign, sign_mean, found \"odd\"");
    read("[]", message);
    EXPECT_EQ(message, "plan: expected an object, found []");
}

}  // namespace
