// SPDX-License-Identifier: MIT
/// @file
/// As much of Linux as one static, single-threaded test program needs, to run it on a processor that Bochs plays. It
/// loads the program from the disk, gives it arguments, environment and memory, and answers its system calls, all in
/// ring 0. Memory between PROT_NONE pages is really guarded. What the program writes goes to port 0xe9, which Bochs
/// prints; "@@EXIT <status>" and "@@FAULT ..." end a run. No files, threads, signals or processes.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <asm/prctl.h>
#include <elf.h>
#include <sys/mman.h>
#include <sys/syscall.h>

namespace {

using word = std::uint64_t;

/// Memory, all of it mapped to itself. The kernel is at 64 KiB, its first stack below 512 KiB.
constexpr word page = 4096;
constexpr word heap_end = 0x8000000;        ///< program and heap stand below
constexpr word image_at = 0x8000000;        ///< the program as a file
constexpr word stack_end = 0xb000000;       ///< 16 MiB below are the program's stack
constexpr word page_tables_at = 0xb000000;  ///< 2 MiB
constexpr word mappings_at = 0x10000000;
constexpr word mappings_end = 0x3f000000;

/// The disk: after 64 sectors of boot code a header, then the program.
constexpr std::uint32_t header_sector = 64;
constexpr std::uint32_t header_sectors = 8;
struct disk_header {
    std::uint32_t program_bytes;
    std::uint32_t arguments;
    std::uint32_t environment;
    char strings[header_sectors * 512 - 12];  ///< arguments, then the environment, each with its 0
};

word heap_begin = 0;
word heap_top = 0;
word mappings_top = mappings_at;

// --- The processor
// -----------------------------------------------------------------------------------------------------

void out(std::uint16_t port, std::uint8_t value) {
    asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
std::uint8_t in(std::uint16_t port) {
    std::uint8_t value = 0;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
void write_msr(std::uint32_t which, word value) {
    asm volatile("wrmsr" ::"c"(which), "a"(static_cast<std::uint32_t>(value)),
                 "d"(static_cast<std::uint32_t>(value >> 32U)));
}
word time_stamp() {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return word{high} << 32U | low;
}
template <typename T>
T* at(word address) {
    return reinterpret_cast<T*>(address);
}

}  // namespace

extern "C" void* memcpy(void* to, const void* from, std::size_t size) {
    void* const result = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
    return result;
}
extern "C" void* memset(void* to, int value, std::size_t size) {
    void* const result = to;
    asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return result;
}
extern "C" std::size_t strlen(const char* text) {
    std::size_t size = 0;
    for (; text[size] != 0; ++size) {
    }
    return size;
}

namespace {

// --- Output and the end of a run
// ---------------------------------------------------------------------------------------

void put(const char* text, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
        out(0xe9, static_cast<std::uint8_t>(text[i]));
    }
}
void put(const char* text) {
    put(text, strlen(text));
}
void put_hex(word value) {
    for (int shift = 60; shift >= 0; shift -= 4) {
        put(&"0123456789abcdef"[value >> shift & 15U], 1);
    }
}
[[noreturn]] void power_off() {
    for (const char c : {'S', 'h', 'u', 't', 'd', 'o', 'w', 'n'}) {
        out(0x8900, static_cast<std::uint8_t>(c));
    }
    for (;;) {
        asm volatile("hlt");
    }
}
[[noreturn]] void exit_with(word status) {
    put("\n@@EXIT ");
    put_hex(status);
    put("\n");
    power_off();
}

// --- Memory
// ------------------------------------------------------------------------------------------------------------

constexpr word present_and_writable = 3;

/// Lets the program touch pages, or not.
void set_pages(word begin, word bytes, bool touchable) {
    for (word p = begin / page; p < (begin + bytes + page - 1) / page; ++p) {
        at<word>(page_tables_at)[p] = p * page | (touchable ? present_and_writable : 0);
        asm volatile("invlpg (%0)" ::"r"(p * page) : "memory");
    }
}

/// From pages of 2 MiB to pages of 4 KiB, which can be guarded one by one.
void split_pages() {
    set_pages(0, word{1} << 30U, true);
    for (word table = 0; table < 512; ++table) {
        at<word>(0x3000)[table] = (page_tables_at + table * page) | present_and_writable;
    }
    asm volatile("mov %%cr3, %%rax\n mov %%rax, %%cr3" ::: "rax", "memory");
}

word map(word address, word bytes, word protection, word flags) {
    const word size = (bytes + page - 1) / page * page;
    if (size > mappings_end - mappings_top) {
        return static_cast<word>(-ENOMEM);
    }
    if ((flags & MAP_FIXED) == 0) {
        address = mappings_top;
        mappings_top += size;
    }
    set_pages(address, size, true);
    memset(at<void>(address), 0, size);
    set_pages(address, size, protection != PROT_NONE);
    return address;
}

/// Only the newest mapping is given back; in a test they go in the order opposite to that in which they came.
word unmap(word address, word bytes) {
    const word size = (bytes + page - 1) / page * page;
    set_pages(address, size, true);
    if (address + size == mappings_top) {
        mappings_top = address;
    }
    return 0;
}

word set_heap_end(word address) {
    if (address >= heap_begin && address < heap_end) {
        heap_top = address;
    }
    return heap_top;
}

// --- System calls
// ------------------------------------------------------------------------------------------------------

struct io_vector {
    const char* text;
    word size;
};
word write_all(const io_vector* vectors, word count) {
    word size = 0;
    for (word i = 0; i < count; ++i) {
        put(vectors[i].text, vectors[i].size);
        size += vectors[i].size;
    }
    return size;
}

/// Every file is a terminal: unbuffered, so that nothing is lost in a fault.
word describe_file(std::byte* stat) {
    constexpr std::uint32_t character_device = 0x2000 | 0666;
    memset(stat, 0, 144);
    memcpy(stat + 24, &character_device, sizeof(character_device));
    return 0;
}

/// Seconds, then `parts` of a second.
word tell_time(word* time, word parts) {
    constexpr word ticks = 50000000;  // a second, see ips in run_bochs.sh
    const word now = time_stamp();
    time[0] = now / ticks;
    time[1] = now % ticks * parts / ticks;
    return 0;
}

word fill_random(std::uint8_t* bytes, word size) {
    for (word i = 0; i < size; ++i) {
        bytes[i] = static_cast<std::uint8_t>(i * 37 + 11);
    }
    return size;
}

word name_system(char* fields) {
    memset(fields, 0, 390);
    memcpy(fields, "Linux", 6);
    memcpy(fields + 130, "6.1.0", 6);
    return 0;
}

word name_folder(char* path) {
    memcpy(path, "/", 2);
    return 2;
}

word list_processors(std::uint8_t* bits, word size) {
    memset(bits, 0, size);
    bits[0] = 1;
    return 8;
}

word set_thread_pointer(word code, word address) {
    if (code != ARCH_SET_FS) {
        return static_cast<word>(-EINVAL);
    }
    write_msr(0xc0000100, address);
    return 0;
}

word set_protection(word address, word bytes, word protection) {
    set_pages(address, bytes, protection != PROT_NONE);
    return 0;
}

word refuse_unknown(word number) {
    put("[no system call ");
    put_hex(number);
    put("]");
    return static_cast<word>(-ENOSYS);
}

}  // namespace

extern "C" word answer(word number, word a, word b, word c, word d) {
    switch (number) {
        case SYS_write: return put(at<char>(b), c), c;
        case SYS_writev: return write_all(at<io_vector>(b), c);
        case SYS_getcwd: return name_folder(at<char>(a));
        case SYS_sched_getaffinity: return list_processors(at<std::uint8_t>(c), b);
        case SYS_tgkill: exit_with(134);  // abort()
        case SYS_exit:
        case SYS_exit_group: exit_with(a);
        case SYS_brk: return set_heap_end(a);
        case SYS_mmap: return map(a, b, c, d);
        case SYS_munmap: return unmap(a, b);
        case SYS_mprotect: return set_protection(a, b, c);
        case SYS_arch_prctl: return set_thread_pointer(a, b);
        case SYS_fstat: return describe_file(at<std::byte>(b));
        case SYS_newfstatat: return describe_file(at<std::byte>(c));
        case SYS_clock_gettime: return tell_time(at<word>(b), 1000000000);
        case SYS_gettimeofday: return tell_time(at<word>(a), 1000000);
        case SYS_time: return time_stamp() / 50000000;
        case SYS_getrandom: return fill_random(at<std::uint8_t>(a), b);
        case SYS_uname: return name_system(at<char>(a));
        case SYS_getpid:
        case SYS_gettid:
        case SYS_set_tid_address: return 1;
        case SYS_close:
        case SYS_futex:
        case SYS_madvise:
        case SYS_read:
        case SYS_rt_sigaction:
        case SYS_rt_sigprocmask:
        case SYS_set_robust_list:
        case SYS_sched_yield:
        case SYS_sigaltstack: return 0;
        case SYS_access:
        case SYS_mkdir:
        case SYS_open:
        case SYS_openat:
        case SYS_readlink:
        case SYS_readlinkat: return static_cast<word>(-ENOENT);
        case SYS_ioctl: return static_cast<word>(-ENOTTY);
        case SYS_lseek: return static_cast<word>(-ESPIPE);
        case SYS_prlimit64:
        case SYS_rseq: return static_cast<word>(-ENOSYS);
        default: return refuse_unknown(number);
    }
}

/// Where the instruction `syscall` jumps to: from Linux's registers to those of a function, on a stack of its own.
asm(R"(
    .text
    .globl on_system_call
on_system_call:
    mov %rsp, program_stack(%rip)
    lea kernel_stack_end(%rip), %rsp
    push %rcx
    push %r11
    push %rdi
    push %rsi
    push %rdx
    push %r10
    push %r8
    push %r9
    mov %r10, %r8
    mov %rdx, %rcx
    mov %rsi, %rdx
    mov %rdi, %rsi
    mov %rax, %rdi
    call answer
    pop %r9
    pop %r8
    pop %r10
    pop %rdx
    pop %rsi
    pop %rdi
    pop %r11
    pop %rcx
    push %r11
    popfq
    mov program_stack(%rip), %rsp
    jmp *%rcx
    .data
program_stack:
    .quad 0
    .balign 16
    .space 16384
kernel_stack_end:
    .text
)");
extern "C" void on_system_call();

// --- Faults
// ------------------------------------------------------------------------------------------------------------

/// The frame starts with an error code for some vectors, so that rip is its first or second word.
extern "C" [[noreturn]] void report_fault(word vector, const word* frame) {
    word address = 0;
    asm volatile("mov %%cr2, %0" : "=r"(address));
    put("\n@@FAULT vector ");
    put_hex(vector);
    put(" at ");
    put_hex(frame[0]);
    put(" or ");
    put_hex(frame[1]);
    put(", address ");
    put_hex(address);
    put("\n");
    power_off();
}

#define ON_FAULT(vector)                         \
    asm(".globl on_fault_" #vector               \
        "\n"                                     \
        "on_fault_" #vector                      \
        ":\n"                                    \
        "    mov $" #vector                      \
        ", %edi\n"                               \
        "    mov %rsp, %rsi\n"                   \
        "    lea kernel_stack_end(%rip), %rsp\n" \
        "    call report_fault\n");              \
    extern "C" void on_fault_##vector();
ON_FAULT(0)
ON_FAULT(6)
ON_FAULT(7)
ON_FAULT(8)
ON_FAULT(13)
ON_FAULT(14)
ON_FAULT(19)

namespace {

alignas(16) word gates[2 * 32];

void set_gate(std::size_t vector, void (*handler)()) {
    constexpr word code_segment = 8;
    constexpr word interrupt_gate = 0x8e;
    const word address = reinterpret_cast<word>(handler);
    gates[2 * vector] =
        (address & 0xffffU) | code_segment << 16U | interrupt_gate << 40U | (address >> 16U & 0xffffU) << 48U;
    gates[2 * vector + 1] = address >> 32U;
}

void catch_faults() {
    set_gate(0, on_fault_0);
    set_gate(6, on_fault_6);
    set_gate(7, on_fault_7);
    set_gate(8, on_fault_8);
    set_gate(13, on_fault_13);
    set_gate(14, on_fault_14);
    set_gate(19, on_fault_19);
    struct __attribute__((packed)) {
        std::uint16_t limit;
        word base;
    } table = {sizeof(gates) - 1, reinterpret_cast<word>(gates)};
    asm volatile("lidt %0" ::"m"(table));
}

void catch_system_calls() {
    constexpr word enable_with_long_mode = 0x501;
    constexpr word cleared_flags = 0x700;  // trap, interrupts, direction
    write_msr(0xc0000080, enable_with_long_mode);
    write_msr(0xc0000081, word{8} << 32U);
    write_msr(0xc0000082, reinterpret_cast<word>(on_system_call));
    write_msr(0xc0000084, cleared_flags);
}

// --- The program
// -------------------------------------------------------------------------------------------------------

/// Reads sectors from the first disk, 64 at a time, word by word.
void read_disk(std::uint32_t sector, word address, std::uint32_t count) {
    constexpr std::uint32_t most = 64;
    for (; count != 0;) {
        const std::uint32_t piece = count < most ? count : most;
        while ((in(0x1f7) & 0x80U) != 0) {
        }
        out(0x1f6, static_cast<std::uint8_t>(0xe0U | sector >> 24U));
        out(0x1f2, static_cast<std::uint8_t>(piece));
        out(0x1f3, static_cast<std::uint8_t>(sector));
        out(0x1f4, static_cast<std::uint8_t>(sector >> 8U));
        out(0x1f5, static_cast<std::uint8_t>(sector >> 16U));
        out(0x1f7, 0x20);
        for (std::uint32_t i = 0; i < piece; ++i) {
            while ((in(0x1f7) & 0x88U) != 8) {
            }
            word words = 256;
            asm volatile("rep insw" : "+D"(address), "+c"(words) : "d"(std::uint16_t{0x1f0}) : "memory");
        }
        sector += piece;
        count -= piece;
    }
}

/// Lays out the segments; returns where the program headers stand in memory.
word load_program(const Elf64_Ehdr& file) {
    word headers = 0;
    word end = 0;
    const auto* segments = at<const Elf64_Phdr>(image_at + file.e_phoff);
    for (std::size_t i = 0; i < file.e_phnum; ++i) {
        const Elf64_Phdr& s = segments[i];
        if (s.p_type != PT_LOAD) {
            continue;
        }
        memset(at<void>(s.p_vaddr), 0, s.p_memsz);
        memcpy(at<void>(s.p_vaddr), at<void>(image_at + s.p_offset), s.p_filesz);
        headers = s.p_offset == 0 ? s.p_vaddr + file.e_phoff : headers;
        end = s.p_vaddr + s.p_memsz > end ? s.p_vaddr + s.p_memsz : end;
    }
    heap_begin = heap_top = (end + page - 1) / page * page;
    return headers;
}

/// What a program finds on its stack: the number of arguments, arguments, environment, auxiliary values.
word* make_stack(const disk_header& disk, const Elf64_Ehdr& file, word headers) {
    word* const stack = at<word>(stack_end - 2 * page);
    const char* text = at<const char>(stack_end - page);
    memcpy(at<void>(stack_end - page), disk.strings, sizeof(disk.strings) < page ? sizeof(disk.strings) : page);
    word* next = stack;
    *next++ = disk.arguments;
    for (const std::uint32_t count : {disk.arguments, disk.environment}) {
        for (std::uint32_t i = 0; i < count; ++i, text += strlen(text) + 1) {
            *next++ = reinterpret_cast<word>(text);
        }
        *next++ = 0;
    }
    const word auxiliary[] = {
        AT_PAGESZ,    page,     AT_RANDOM,    stack_end - 64, AT_PHDR, headers,   AT_PHENT, 56,      AT_PHNUM,
        file.e_phnum, AT_ENTRY, file.e_entry, AT_CLKTCK,      100,     AT_SECURE, 0,        AT_NULL, 0};
    memcpy(next, auxiliary, sizeof(auxiliary));
    return stack;
}

}  // namespace

extern "C" [[noreturn]] __attribute__((section(".text.entry"))) void start() {
    catch_faults();
    split_pages();
    catch_system_calls();
    static disk_header disk;
    read_disk(header_sector, reinterpret_cast<word>(&disk), header_sectors);
    read_disk(header_sector + header_sectors, image_at, (disk.program_bytes + 511) / 512);
    const auto& file = *at<const Elf64_Ehdr>(image_at);
    const word* stack = make_stack(disk, file, load_program(file));
    asm volatile("mov %0, %%rsp\n jmp *%1" ::"r"(stack), "r"(file.e_entry), "d"(word{0}) : "memory");
    __builtin_unreachable();
}
