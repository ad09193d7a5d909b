// SPDX-License-Identifier: MIT
/// @file
/// A model with its tokenizer from a GGUF file, from a Hugging Face folder, or from one safetensors file that carries
/// its configuration (as the toys and packed files do) or has it beside it. Every message starts with the name of the
/// file at fault.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/io/files.hpp"
#include "quell/io/gguf.hpp"
#include "quell/io/json.hpp"
#include "quell/io/message.hpp"
#include "quell/io/safetensors.hpp"
#include "transformer/build.hpp"
#include "transformer/checkpoint.hpp"
#include "transformer/config_gguf.hpp"
#include "transformer/config_json.hpp"
#include "transformer/loaded.hpp"
#include "transformer/packed_file.hpp"

#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

namespace transformer {

namespace detail {

inline bool exists(const std::string& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

inline quell::result<std::string> read_text(const std::string& path) {
    QUELL_TRY(const std::vector<std::byte> bytes, quell::io::read_file(path));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

inline quell::result<loaded> load_gguf(const std::string& path, const quell::executor& threads,
                                       const quell::progress_callback& progress) {
    QUELL_TRY(const quell::io::gguf_file file, quell::io::gguf_file::open(path));
    QUELL_TRY(const config shape, config_from_gguf(file));
    checkpoint tensors(path, threads, progress);
    QUELL_TRY_VOID(tensors.add(file));
    return join(build_model(shape, tensors, gguf_names, path), tokenizer::from_gguf(file), path);
}

/// The model whose tensors stand in `files`, under Hugging Face's names.
inline quell::result<model> build_from(std::span<const quell::io::safetensors_file> files, std::string_view config_json,
                                       const std::string& config_name, const std::string& name,
                                       const quell::executor& threads, const quell::progress_callback& progress) {
    QUELL_TRY(const config shape, config_from_json(config_json, config_name));
    checkpoint tensors(name, threads, progress);
    for (const quell::io::safetensors_file& file : files) {
        QUELL_TRY_VOID(tensors.add(file));
    }
    return build_model(shape, tensors, hugging_face_names, name);
}

inline quell::result<tokenizer> tokenizer_in(const std::string& folder) {
    QUELL_TRY(const std::string text, read_text(folder + "tokenizer.json"));
    const std::string beside = folder + "tokenizer_config.json";
    std::string config_json;
    if (exists(beside)) {
        QUELL_TRY(config_json, read_text(beside));
    }
    return tokenizer::from_json(text, folder + "tokenizer.json", config_json);
}

/// A file that describes itself: the metadata `config` (the text of a config.json) and `tokenizer` ("bytes" or the text
/// of a tokenizer.json).
inline quell::result<loaded> load_self_contained(std::span<const quell::io::safetensors_file> files,
                                                 const std::string& name, const quell::executor& threads,
                                                 const quell::progress_callback& progress) {
    const auto& metadata = files.front().metadata();
    const auto text = metadata.find("tokenizer");
    if (!metadata.contains("config") || text == metadata.end()) {
        return quell::io::failure(quell::errc::not_found, name, "its metadata holds no config and tokenizer");
    }
    return join(build_from(files, metadata.find("config")->second, name, name, threads, progress),
                text->second == "bytes" ? tokenizer::bytes() : tokenizer::from_json(text->second, name), name);
}

inline quell::result<loaded> load_with_config_beside(std::span<const quell::io::safetensors_file> files,
                                                     const std::string& folder, const std::string& name,
                                                     const quell::executor& threads,
                                                     const quell::progress_callback& progress) {
    QUELL_TRY(const std::string config_json, read_text(folder + "config.json"));
    return join(build_from(files, config_json, folder + "config.json", name, threads, progress), tokenizer_in(folder),
                name);
}

inline quell::result<loaded> load_safetensors(const std::string& path, const quell::executor& threads,
                                              const quell::progress_callback& progress) {
    std::vector<quell::io::safetensors_file> files;
    QUELL_TRY(auto file, quell::io::safetensors_file::open(path));
    if (is_packed(file)) {
        return load_packed(std::move(file), path, threads, progress);
    }
    files.push_back(std::move(file));
    const std::string folder = path.substr(0, path.find_last_of('/') + 1);
    if (files.front().metadata().contains("config") || !exists(folder + "config.json")) {
        return load_self_contained(files, path, threads, progress);
    }
    return load_with_config_beside(files, folder, path, threads, progress);
}

/// The shards that an index names, each once. Names come from outside, so they must stay inside the folder.
inline quell::result<std::set<std::string>> shards_of(const std::string& index) {
    using quell::io::failure;
    QUELL_TRY(const std::string text, read_text(index));
    QUELL_TRY(const nlohmann::json document, quell::io::parse_json(text, index));
    const auto map = document.find("weight_map");
    if (map == document.end() || !map->is_object() || map->empty()) {
        return failure(quell::errc::bad_format, index, "weight_map is no object with an entry for each tensor");
    }
    std::set<std::string> shards;
    for (const auto& shard : *map) {
        const std::string name = shard.is_string() ? shard.get<std::string>() : "";
        if (!name.ends_with(".safetensors") || name.find_first_of("/\\") != std::string::npos || name.front() == '.') {
            return failure(quell::errc::bad_value, index, quell::io::quoted(name), " is not the name of a shard");
        }
        shards.insert(name);
    }
    return shards;
}

inline quell::result<loaded> load_folder(const std::string& path, const quell::executor& threads,
                                         const quell::progress_callback& progress) {
    const std::string folder = path.ends_with('/') ? path : path + "/";
    if (!exists(folder + "config.json")) {
        return quell::io::failure(quell::errc::not_found, path,
                                  "is no .gguf or .safetensors file and no folder with a config.json");
    }
    std::set<std::string> shards = {"model.safetensors"};
    if (const std::string index = folder + "model.safetensors.index.json"; exists(index)) {
        QUELL_TRY(shards, shards_of(index));
    }
    std::vector<quell::io::safetensors_file> files;
    for (const std::string& shard : shards) {
        QUELL_TRY(auto file, quell::io::safetensors_file::open(folder + shard));
        files.push_back(std::move(file));
    }
    return load_with_config_beside(files, folder, path, threads, progress);
}

}  // namespace detail

/// Loads FILE.gguf, FILE.safetensors or a folder.
/// Errors   whatever is wrong with the file, in one line that starts with its name.
/// Memory   the packed float weights, and the largest matrix once more; of a packed file, the pages that are used.
inline quell::result<loaded> load(const std::string& path, const quell::executor& threads,
                                  const quell::progress_callback& progress = {}) {
    if (path.ends_with(".gguf")) {
        return detail::load_gguf(path, threads, progress);
    }
    if (path.ends_with(".safetensors")) {
        return detail::load_safetensors(path, threads, progress);
    }
    return detail::load_folder(path, threads, progress);
}

/// Loads the bytes of a self-contained safetensors file, which are not needed afterwards.
inline quell::result<loaded> load_bytes(std::span<const std::byte> bytes, const std::string& name,
                                        const quell::executor& threads) {
    std::vector<quell::io::safetensors_file> files;
    QUELL_TRY(auto file, quell::io::safetensors_file::parse(bytes, name));
    files.push_back(std::move(file));
    return detail::load_self_contained(files, name, threads, {});
}

}  // namespace transformer
