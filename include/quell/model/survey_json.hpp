// SPDX-License-Identifier: MIT
/// @file
/// The survey of a model as JSON: an allocation that was interrupted goes on from it, and one with another budget needs
/// no other.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/io/json.hpp"
#include "quell/model/allocate_model.hpp"
#include "quell/model/plan_json.hpp"
#include "quell/report/json_fields.hpp"

#include <nlohmann/json.hpp>

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace quell::model {
inline namespace QUELL_BASELINE {

template <typename Visit, typename Survey>
requires(std::same_as<std::remove_const_t<Survey>, site_survey>) void fields(Visit& visit, Survey& found) {
    visit("name", found.name);
    visit("divergences", found.divergences);
}

template <typename Visit, typename Survey>
requires(std::same_as<std::remove_const_t<Survey>, model_survey>) void fields(Visit& visit, Survey& found) {
    visit("subject", found.subject);
    visit("forms", found.forms);
    visit("sites", found.sites);
    visit("inputs", found.inputs);
}

/// Numbers read back the same.
[[nodiscard]] inline std::string to_text(const model_survey& found) {
    return report::json_writer::to_value(found).dump(1) + "\n";
}

/// Errors   errc::bad_format, naming `file` and the path.
[[nodiscard]] inline result<model_survey> survey_from_text(std::string_view text, const std::string& file) {
    QUELL_TRY(const nlohmann::json document, io::parse_json(text, file));
    model_survey found;
    report::json_reader visit(document, file);
    fields(visit, found);
    QUELL_TRY_VOID(visit.finish());
    return found;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
