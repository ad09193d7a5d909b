// SPDX-License-Identifier: MIT
#include "quell/io/files.hpp"

#include "quell/io/mapped_file.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstddef>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using quell::errc;
using quell::io::atomic_file;
using quell::io::mapped_file;
using quell::io::read_file;
using quell::io::write_file_atomically;
using support::temporary_folder;

std::vector<std::byte> counting_bytes(std::size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; ++i) {
        bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
    }
    return bytes;
}

std::string text_of(const std::string& path) {
    const auto bytes = read_file(path);
    return bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()) : bytes.error().message;
}

TEST(MappedFile, ShowsTheBytesAlsoAfterDroppingAndMoving) {
    const temporary_folder folder;
    const std::vector<std::byte> bytes = counting_bytes(100'003);
    auto file = mapped_file::open(folder.write("f", bytes));
    ASSERT_TRUE(file);
    mapped_file moved = *std::move(file);
    for (const std::size_t begin : {0U, 1U, 4096U, 100'002U}) {
        moved.drop(moved.bytes().subspan(begin));
    }
    moved.drop({});
    EXPECT_EQ(std::vector(moved.bytes().begin(), moved.bytes().end()), bytes);
}

TEST(MappedFile, MapsAnEmptyFile) {
    const temporary_folder folder;
    const auto file = mapped_file::open(folder.write("f", {}));
    ASSERT_TRUE(file);
    EXPECT_TRUE(file->bytes().empty());
}

TEST(MappedFile, NamesWhatCannotBeOpened) {
    const temporary_folder folder;
    const auto missing = mapped_file::open(folder.file("none"));
    EXPECT_EQ(missing.error().code, errc::io_failed);
    EXPECT_EQ(missing.error().message, folder.file("none") + ": cannot be opened: No such file or directory");
    EXPECT_EQ(mapped_file::open(folder.path()).error().message, folder.path() + ": is a folder, not a file");
    EXPECT_EQ(mapped_file::open("/dev/null").error().message, "/dev/null: is not a regular file");
}

TEST(ReadFile, ReadsFilesOfAnySizeAndPipes) {
    const temporary_folder folder;
    for (const std::size_t size : {0U, 1U, 65'535U, 65'536U, 200'000U}) {
        const std::vector<std::byte> bytes = counting_bytes(size);
        const auto read = read_file(folder.write("f", bytes));
        ASSERT_TRUE(read);
        EXPECT_EQ(*read, bytes);
    }
    const std::vector<std::byte> bytes = counting_bytes(300'000);
    ASSERT_EQ(::mkfifo(folder.file("pipe").c_str(), 0600), 0);
    std::thread writer([&] { folder.write("pipe", bytes); });
    const auto read = read_file(folder.file("pipe"));
    writer.join();
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, bytes);
}

TEST(ReadFile, NamesWhatCannotBeRead) {
    const temporary_folder folder;
    EXPECT_EQ(read_file(folder.path()).error().message, folder.path() + ": is a folder, not a file");
    EXPECT_EQ(read_file(folder.file("none")).error().code, errc::io_failed);
}

TEST(AtomicFile, ReplacesTheOldFileAndLeavesNothingElse) {
    const temporary_folder folder;
    ASSERT_TRUE(write_file_atomically(folder.file("f"), "old text"));
    ASSERT_TRUE(write_file_atomically(folder.file("f"), "new"));
    EXPECT_EQ(text_of(folder.file("f")), "new");
    EXPECT_EQ(folder.names(), std::vector<std::string>{"f"});
}

TEST(AtomicFile, ShowsNothingBeforeTheCommit) {
    const temporary_folder folder;
    ASSERT_TRUE(write_file_atomically(folder.file("f"), "old"));
    {
        auto file = atomic_file::create(folder.file("f"));
        ASSERT_TRUE(file);
        ASSERT_TRUE(file->write(counting_bytes(1000)));
        EXPECT_EQ(text_of(folder.file("f")), "old");
        const atomic_file moved = *std::move(file);
        EXPECT_EQ(folder.names().size(), 2U);
    }
    EXPECT_EQ(text_of(folder.file("f")), "old");
    EXPECT_EQ(folder.names(), std::vector<std::string>{"f"});
}

TEST(AtomicFile, WritesOneNameFromTwoWritersAtOnce) {
    const temporary_folder folder;
    auto first = atomic_file::create(folder.file("f"));
    auto second = atomic_file::create(folder.file("f"));
    ASSERT_TRUE(first && second);
    ASSERT_TRUE(first->write(std::as_bytes(std::span("one", 3))));
    ASSERT_TRUE(second->write(std::as_bytes(std::span("two", 3))));
    ASSERT_TRUE(first->commit());
    ASSERT_TRUE(second->commit());
    EXPECT_EQ(text_of(folder.file("f")), "two");
    EXPECT_EQ(folder.names(), std::vector<std::string>{"f"});
}

TEST(AtomicFile, RefusesAFolderThatIsNotThere) {
    const temporary_folder folder;
    const auto status = write_file_atomically(folder.file("no/f"), "text");
    EXPECT_EQ(status.error().code, errc::io_failed);
    EXPECT_EQ(status.error().message, folder.file("no/f") + ": its folder \"" + folder.file("no") +
                                          "\" cannot be used: No such file or directory");
    EXPECT_TRUE(folder.names().empty());
}

TEST(AtomicFile, RefusesTargetsThatAreNoFiles) {
    const temporary_folder folder;
    ASSERT_TRUE(write_file_atomically(folder.file("f"), "text"));
    EXPECT_EQ(write_file_atomically(folder.path(), "").error().message, folder.path() + ": is a folder");
    EXPECT_EQ(write_file_atomically("/dev/null", "").error().message, "/dev/null: is not a regular file");
    EXPECT_EQ(write_file_atomically(folder.file("f/g"), "").error().code, errc::io_failed);
    EXPECT_EQ(folder.names(), std::vector<std::string>{"f"});
}

TEST(AtomicFile, SaysWhenTheFolderMayNotBeWritten) {
    const temporary_folder folder;
    ::chmod(folder.path().c_str(), 0500);
    if (::access(folder.path().c_str(), W_OK) == 0) {
        GTEST_SKIP() << "this user may write everywhere";
    }
    const auto status = write_file_atomically(folder.file("f"), "text");
    EXPECT_EQ(status.error().message, folder.file("f") + ": cannot be created: Permission denied");
}

TEST(AtomicFile, KeepsTheOldFileWhenTheDiskTakesNoMore) {
    const temporary_folder folder;
    ASSERT_TRUE(write_file_atomically(folder.file("f"), "old"));
    rlimit before = {};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit small{.rlim_cur = 1000, .rlim_max = before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &small);
    const auto status = write_file_atomically(folder.file("f"), counting_bytes(5000));
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(status.error().code, errc::io_failed);
    EXPECT_EQ(status.error().message, folder.file("f") + ": cannot be written: File too large");
    EXPECT_EQ(text_of(folder.file("f")), "old");
    EXPECT_EQ(folder.names(), std::vector<std::string>{"f"});
}

}  // namespace
