// SPDX-License-Identifier: MIT
#include "toy/embedded.hpp"

// The assembler of GCC and clang copies the files into read-only data; TOY_WEIGHTS is their folder.
#if defined(__APPLE__)
#define TOY_SECTION ".const_data\n"
#define TOY_SECTION_END ".text\n"
#define TOY_SYMBOL(name) "_" #name
#else
#define TOY_SECTION ".pushsection .rodata\n"
#define TOY_SECTION_END ".popsection\n"
#define TOY_SYMBOL(name) #name
#endif
#define TOY_EMBED(symbol, file)                                                                            \
    __asm__(TOY_SECTION ".balign 64\n"                                                                   \
            ".globl " TOY_SYMBOL(symbol) "\n" TOY_SYMBOL(symbol) ":\n"                                   \
            ".incbin \"" TOY_WEIGHTS "/" file "\"\n"                                                     \
            ".globl " TOY_SYMBOL(symbol##_end) "\n" TOY_SYMBOL(symbol##_end) ":\n.byte 0\n" TOY_SECTION_END); \
    extern "C" const std::byte symbol[];                                                                   \
    extern "C" const std::byte symbol##_end[];

TOY_EMBED(quell_toy_swiglu, "toy.safetensors")
TOY_EMBED(quell_toy_gelu, "toy-gelu.safetensors")

namespace toy {

std::span<const std::byte> weights(std::string_view name) {
    if (name == "toy") {
        return {quell_toy_swiglu, quell_toy_swiglu_end};
    }
    if (name == "toy-gelu") {
        return {quell_toy_gelu, quell_toy_gelu_end};
    }
    return {};
}

}  // namespace toy
