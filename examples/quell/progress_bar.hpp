// SPDX-License-Identifier: MIT
/// @file
/// Progress on standard error: one line that is drawn again on a terminal, a plain line every few seconds elsewhere.
#pragma once

#include "quell/core/progress.hpp"

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>

#include <unistd.h>

namespace program {

class progress_bar {
public:
    explicit progress_bar(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}
    progress_bar(const progress_bar&) = delete;
    progress_bar& operator=(const progress_bar&) = delete;
    ~progress_bar() { clear(); }

    /// A callback that refers to this bar; `title` stands in front of each line.
    [[nodiscard]] quell::progress_callback callback(std::string title) {
        return [this, title = std::move(title)](std::string_view stage, std::string_view item, std::size_t done,
                                                std::size_t total) { show(title, stage, item, done, total); };
    }

    /// Removes the line, before something else is printed.
    void clear() {
        const std::lock_guard lock(mutex_);
        if (drawn_) {
            std::fputs("\r\033[K", stderr);
            drawn_ = false;
        }
    }

private:
    using clock = std::chrono::steady_clock;

    void show(const std::string& title, std::string_view stage, std::string_view item, std::size_t done,
              std::size_t total) {
        const std::lock_guard lock(mutex_);
        const clock::time_point now = clock::now();
        const std::string what = title + " " + std::string(stage);
        if (what != what_) {
            what_ = what;
            started_ = now;
            printed_ = now;
        }
        const std::chrono::duration<double> since_print = now - printed_;
        if (quiet_ || since_print.count() < (terminal_ ? 0.1 : 10.0)) {
            return;
        }
        printed_ = now;
        draw(item, done, total, std::chrono::duration<double>(now - started_).count());
    }

    void draw(std::string_view item, std::size_t done, std::size_t total, double seconds) {
        const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
        const double left = rate > 0 ? static_cast<double>(total - done) / rate : 0;
        const std::size_t width = 24;
        const std::size_t filled = total > 0 ? width * done / total : width;
        const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
        std::fprintf(stderr, "%s%s [%s] %zu/%zu %.*s, %.1f/s, %.0f s left%s", terminal_ ? "\r\033[K" : "",
                     what_.c_str(), bar.c_str(), done, total, static_cast<int>(item.size()), item.data(), rate, left,
                     terminal_ ? "" : "\n");
        drawn_ = terminal_;
    }

    bool quiet_;
    bool terminal_;
    bool drawn_ = false;
    std::string what_;
    clock::time_point started_;
    clock::time_point printed_;
    std::mutex mutex_;
};

}  // namespace program
