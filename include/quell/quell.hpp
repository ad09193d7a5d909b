// SPDX-License-Identifier: MIT
/// @file
/// Everything: kernels, layers, and the pipeline for whole models with its files and reports. Our own headers never
/// include it.
#pragma once

#include "quell/core/openmp.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "quell/core/version.hpp"
#include "quell/io/files.hpp"
#include "quell/io/gguf.hpp"
#include "quell/io/safetensors_writer.hpp"
#include "quell/io/to_float.hpp"
#include "quell/kernels.hpp"
#include "quell/layer.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/linear_tensors.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/model/plan_json.hpp"
#include "quell/model/prefix_search.hpp"
#include "quell/model/profile_file.hpp"
#include "quell/model/spike_exemption.hpp"
#include "quell/model/study.hpp"
#include "quell/outliers/channel_rules.hpp"
#include "quell/outliers/input_profile.hpp"
#include "quell/quant/recipe_linear.hpp"
#include "quell/report/report_json.hpp"
#include "quell/stats/gram.hpp"
#include "quell/stats/moments.hpp"
#include "quell/stats/token_max.hpp"
#include "quell/transforms/hadamard.hpp"
