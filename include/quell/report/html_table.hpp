// SPDX-License-Identifier: MIT
/// @file
/// A table of an HTML page: columns of numbers stand on the right, a cell may lead somewhere on the page, and may stand
/// out.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"
#include "quell/report/markup.hpp"
#include "quell/report/number_text.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace quell::report {
inline namespace QUELL_BASELINE {

enum class column_kind : std::uint8_t { text, number };

struct table_column {
    std::string name{};
    column_kind kind = column_kind::number;
    std::string meaning{};  ///< under the pointer
};

struct table_cell {
    std::string text{};
    std::string link{};  ///< the id of an element of the page
    bool stands_out = false;

    table_cell() = default;
    table_cell(std::string plain) : text(std::move(plain)) {}
    table_cell(const char* plain) : text(plain) {}
    table_cell(double number) : text(number_text(number)) {}
};

struct html_table {
    std::string caption{};
    std::vector<table_column> columns{};
    std::vector<std::vector<table_cell>> rows{};
};

namespace detail {

[[nodiscard]] inline markup draw_table_cell(const table_cell& cell, column_kind kind) {
    const markup inside =
        cell.link.empty() ? markup::escaped(cell.text) : text_element("a", {{"href", "#" + cell.link}}, cell.text);
    const std::string look = std::string(kind == column_kind::number ? "n" : "") + (cell.stands_out ? " best" : "");
    return look.empty() ? markup::element("td", {}, inside) : markup::element("td", {{"class", look}}, inside);
}

}  // namespace detail

/// Requires as many cells in every row as there are columns.
[[nodiscard]] inline markup draw_table(const html_table& table) {
    markup head;
    for (const table_column& c : table.columns) {
        const std::string look = c.kind == column_kind::number ? "n" : "";
        head += text_element("th", {{"scope", "col"}, {"class", look}, {"title", c.meaning}}, c.name);
    }
    markup body;
    for (const std::vector<table_cell>& row : table.rows) {
        QUELL_EXPECTS(row.size() == table.columns.size(), "a cell for every column");
        markup cells;
        for (std::size_t c = 0; c < row.size(); ++c) {
            cells += detail::draw_table_cell(row[c], table.columns[c].kind);
        }
        body += markup::element("tr", {}, cells) + markup::literal("\n");
    }
    markup all = table.caption.empty() ? markup() : text_element("caption", {}, table.caption);
    all += markup::element("thead", {}, markup::element("tr", {}, head));
    all += markup::element("tbody", {}, body);
    return markup::element("div", {{"class", "wide"}}, markup::element("table", {}, all));
}

}  // namespace QUELL_BASELINE
}  // namespace quell::report
