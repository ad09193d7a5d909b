// SPDX-License-Identifier: MIT
#include "quell/tuning/checkpoint.hpp"

#include "quell/core/rng.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace quell;
using namespace quell::tuning;

/// Two parameters under an optimizer, and steps with gradients that depend on the step alone.
struct small_run {
    parameter<float> columns{"a.columns", 5, 3};
    parameter<float> scales{"a.scales", 1, 5};
    adamw<float> optimizer{{&columns, &scales}};

    void step_until(std::size_t end) {
        while (optimizer.steps() < end) {
            rng random(optimizer.steps());
            for (parameter<float>* p : {&columns, &scales}) {
                for (float& g : p->gradient.elements()) {
                    g = static_cast<float>(random.normal());
                }
            }
            optimizer.step(0.01, {});
        }
    }
    [[nodiscard]] std::vector<float> values() const {
        std::vector<float> all(columns.value.elements().begin(), columns.value.elements().end());
        all.insert(all.end(), scales.value.elements().begin(), scales.value.elements().end());
        return all;
    }
};

TEST(TuningCheckpoint, GoesOnToTheBitsOfAnUninterruptedRun) {
    const support::temporary_folder folder;
    small_run whole;
    whole.step_until(9);
    small_run first;
    first.step_until(4);
    ASSERT_TRUE(write_checkpoint(folder.file("c"), first.optimizer, "run 1"));
    small_run second;
    const auto read = read_checkpoint(folder.file("c"), second.optimizer, "run 1");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(second.optimizer.steps(), 4U);
    EXPECT_EQ(second.values(), first.values());
    second.step_until(9);
    EXPECT_EQ(second.values(), whole.values());
}

TEST(TuningCheckpoint, OfAnotherRunOrAnotherModelIsRefused) {
    const support::temporary_folder folder;
    const std::string path = folder.file("c");
    small_run run;
    run.step_until(1);
    ASSERT_TRUE(write_checkpoint(path, run.optimizer, "run 1"));
    EXPECT_EQ(read_checkpoint(path, run.optimizer, "run 2").error().message,
              path + ": is the checkpoint of another run (run 1), not of this (run 2); delete it to start again");
    parameter<float> wide{"a.columns", 5, 4};
    adamw<float> other({&wide});
    EXPECT_EQ(read_checkpoint(path, other, "run 1").error().message,
              path + ": tensor \"a.columns\": 60 bytes, not the 20 floats that are wanted");
    parameter<float> unknown{"b.columns", 5, 3};
    adamw<float> stranger({&unknown});
    EXPECT_EQ(read_checkpoint(path, stranger, "run 1").error().code, errc::not_found);
}

TEST(TuningCheckpoint, DamagedFilesAreNamed) {
    const support::temporary_folder folder;
    small_run run;
    run.step_until(1);
    run.scales.value(0, 2) = NAN;
    const std::string path = folder.file("c");
    ASSERT_TRUE(write_checkpoint(path, run.optimizer, "run 1"));
    EXPECT_EQ(read_checkpoint(path, run.optimizer, "run 1").error().message,
              path + ": tensor \"a.scales\": element 2 is not a finite number");
    ASSERT_TRUE(io::write_safetensors(path, {}, {{"quell.tuning", "1"}, {"run", "run 1"}, {"steps", "x"}}));
    EXPECT_EQ(read_checkpoint(path, run.optimizer, "run 1").error().code, errc::bad_format);
    ASSERT_TRUE(io::write_safetensors(path, {}, {}));
    EXPECT_EQ(read_checkpoint(path, run.optimizer, "run 1").error().code, errc::unsupported);
    EXPECT_EQ(read_checkpoint(folder.file("d"), run.optimizer, "run 1").error().code, errc::io_failed);
}

}  // namespace
