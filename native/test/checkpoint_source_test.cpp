// The tensors of a checkpoint against hostile and broken lists of them: every mistake is the named
// error that says which tensor, before anything is read outside a file.
#include <limits>

#include "model/weight_source.h"
#include "test/check.h"
#include "test/support/checkpoint_files.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
constexpr int64_t kHugeSize = std::numeric_limits<int64_t>::max();

TensorEntry entry(const std::string& name, const std::vector<int64_t>& shape, uint64_t begin,
                  uint64_t end, DType dtype = DType::kF32, int file = 0) {
  TensorEntry result;
  result.name = name;
  result.file = file;
  result.dtype = dtype;
  result.shape = shape;
  result.begin = begin;
  result.end = end;
  return result;
}

// A file of 64 bytes and these entries; expects the error that names tensor `t`.
void expect_refused(const TensorEntry& bad, const char* why) {
  const TempFolder folder;
  const std::string file = folder.write("weights.bin", std::vector<uint8_t>(64));
  bool refused = false;
  try {
    CheckpointSource source({file}, {entry("fine", {4, 4}, 0, 64), bad});
  } catch (const Error& error) {
    refused = error.code() == ErrorCode::kCheckpoint &&
              std::string(error.what()).find("tensor t") != std::string::npos;
    if (!refused) std::printf("  %s\n", error.what());
  }
  CHECK(refused, why);
}

void entries_outside_the_file() {
  expect_refused(entry("t", {4}, 52, 68), "ends behind the file");
  expect_refused(entry("t", {4}, 64, 80), "begins at the end");
  expect_refused(entry("t", {4}, 80, 64), "ends before it begins");
  expect_refused(entry("t", {4}, 16, 0), "ends before it begins, at 0");
  expect_refused(entry("t", {4}, kHuge - 15, kHuge), "at the end of all addresses");
  expect_refused(entry("t", {4}, kHuge - 7, 8), "wraps around");
  expect_refused(entry("t", {kHugeSize}, 0, kHuge), "all there is");
  expect_refused(entry("t", {4}, 0, 16, DType::kF32, 1), "no such file");
  expect_refused(entry("t", {4}, 0, 16, DType::kF32, -1), "file -1");
}

void shapes_that_do_not_fill_their_bytes() {
  expect_refused(entry("t", {5}, 0, 16), "one element too many");
  expect_refused(entry("t", {3}, 0, 16), "one too few");
  expect_refused(entry("t", {4}, 0, 17), "a byte too many");
  expect_refused(entry("t", {4}, 0, 16, DType::kBF16), "half the bytes");
  expect_refused(entry("t", {2}, 0, 5, DType::kBF16), "an odd byte");
  expect_refused(entry("t", {}, 0, 8), "a scalar of 8 bytes");
  expect_refused(entry("t", {0}, 0, 4), "no elements in 4 bytes");
  expect_refused(entry("t", {-4}, 0, 16), "negative");
  expect_refused(entry("t", {-2, -2}, 0, 16), "negative twice");
}

void shapes_whose_product_overflows() {
  constexpr int64_t kTwo32 = int64_t{1} << 32;
  expect_refused(entry("t", {kTwo32, kTwo32}, 0, 0), "2^64 is 0");
  expect_refused(entry("t", {kTwo32, kTwo32, 4}, 0, 16), "2^66");
  expect_refused(entry("t", {int64_t{1} << 62, 4}, 0, 0), "2^64 again");
  expect_refused(entry("t", {int64_t{1} << 62, 2}, 0, 0), "2^63 is negative");
  expect_refused(entry("t", {(int64_t{1} << 62) + 1, 4}, 0, 16), "2^64 + 4 is 4");
  expect_refused(entry("t", {kHugeSize, kHugeSize, kHugeSize}, 0, 4), "odd wrap-around");
  expect_refused(entry("t", {int64_t{1} << 62}, 0, 0), "2^64 bytes are 0");
}

void names_listed_twice() {
  const TempFolder folder;
  const std::string file = folder.write("weights.bin", std::vector<uint8_t>(64));
  CHECK_ERROR(ErrorCode::kCheckpoint, "tensor t is listed twice",
              CheckpointSource({file}, {entry("t", {4}, 0, 16), entry("a", {4}, 0, 16),
                                        entry("t", {4}, 16, 32)}));
}

void files_that_cannot_be_read() {
  const TempFolder folder;
  CHECK_ERROR(ErrorCode::kIo, "absent.bin", CheckpointSource({folder.path("absent.bin")}, {}));
  CHECK_ERROR(ErrorCode::kIo, "not a regular file", CheckpointSource({folder.path("")}, {}));
  const std::string empty = folder.write("empty.bin", {});
  CheckpointSource source({empty}, {entry("nothing", {0, 7}, 0, 0)});
  CHECK(source.has("nothing"));
  CHECK_ERROR(ErrorCode::kCheckpoint, "tensor t",
              CheckpointSource({empty}, {entry("t", {1}, 0, 4)}));
}

void missing_and_misshapen_tensors() {
  const TempFolder folder;
  const std::string file = folder.write("weights.bin", std::vector<uint8_t>(96));
  CheckpointSource source({file}, {entry("matrix", {2, 3}, 0, 24), entry("vector", {6}, 24, 48),
                                   entry("column", {6, 1}, 48, 72), entry("one", {}, 72, 76)});
  source.require("matrix", 2, 3);
  source.require("vector", 6, 0);
  CHECK_ERROR(ErrorCode::kCheckpoint, "tensor other is missing", source.require("other", 2, 3));
  CHECK_ERROR(ErrorCode::kCheckpoint, "tensor  is missing", source.require("", 2, 3));
  CHECK_ERROR(ErrorCode::kCheckpoint, "expected shape [3, 2], got [2, 3]",
              source.require("matrix", 3, 2));
  CHECK_ERROR(ErrorCode::kCheckpoint, "expected shape [6], got [2, 3]",
              source.require("matrix", 6, 0));
  CHECK_ERROR(ErrorCode::kCheckpoint, "expected shape [5], got [6]",
              source.require("vector", 5, 0));
  CHECK_ERROR(ErrorCode::kCheckpoint, "tensor vector", source.require("vector", 6, 1));
  CHECK_ERROR(ErrorCode::kCheckpoint, "tensor column", source.require("column", 6, 0));
  CHECK_ERROR(ErrorCode::kCheckpoint, "got []", source.require("one", 1, 0));
  CHECK_ERROR(ErrorCode::kCheckpoint, file, source.require("matrix", 3, 2));
}

// Elements of every type, at any alignment, whole or by rows.
void elements_are_read_as_they_stand() {
  const TempFolder folder;
  TestRandom random(4);
  const std::vector<float> values = random.values(7 * 5);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const size_t offset : {0, 1, 3}) {
      std::vector<uint8_t> content(offset, 0xff);
      const std::vector<uint8_t> bytes = encode(values, dtype);
      content.insert(content.end(), bytes.begin(), bytes.end());
      const std::string file = folder.write("weights.bin", content);
      CheckpointSource source({file}, {entry("t", {7, 5}, offset, content.size(), dtype)});
      source.require("t", 7, 5);
      std::vector<float> all(35), part(10);
      source.read("t", 0, 7, 5, all.data());
      source.read("t", 3, 2, 5, part.data());
      CHECK(encode(all, dtype) == bytes, dtype_name(dtype), " offset ", offset);
      CHECK(same_bits(part.data(), all.data() + 15, 10), dtype_name(dtype), " offset ", offset);
      for (size_t i = 0; i < all.size(); ++i) {
        CHECK_NEAR(static_cast<double>(all[i]), static_cast<double>(values[i]), 0.01);
      }
    }
  }
}

// As when another process copies a file over it: an error, where a mapped file would end the
// process.
void a_file_that_is_cut_off_is_an_error() {
  const TempFolder folder;
  const std::string file = folder.write("weights.bin", std::vector<uint8_t>(1 << 16));
  CheckpointSource source({file}, {entry("t", {1 << 14}, 0, 1 << 16)});
  source.require("t", 1 << 14, 0);
  std::vector<float> all(1 << 14);
  source.read("t", 0, 1 << 14, 0, all.data());
  folder.write("weights.bin", std::vector<uint8_t>(100));
  CHECK_ERROR(ErrorCode::kIo, file + ": it ends at byte 100 of 65536",
              source.read("t", 0, 1 << 14, 0, all.data()));
}

void what_nothing_asked_for_is_listed_in_order() {
  const TempFolder folder;
  const std::string file = folder.write("weights.bin", std::vector<uint8_t>(16));
  CheckpointSource source({file}, {entry("z", {4}, 0, 16), entry("b", {4}, 0, 16),
                                   entry("m", {4}, 0, 16), entry("a", {4}, 0, 16)});
  source.require("m", 4, 0);
  CHECK(source.unused() == (std::vector<std::string>{"z", "b", "a"}));
  source.ignore("z");
  source.require_equal("b", "m");
  CHECK(source.unused() == std::vector<std::string>{"a"});
  // What was asked for in the wrong shape is not in use.
  CHECK_ERROR(ErrorCode::kCheckpoint, "tensor a", source.require("a", 5, 0));
  CHECK(source.unused() == std::vector<std::string>{"a"});
}

void copies_must_be_equal() {
  const TempFolder folder;
  TestRandom random(9);
  std::vector<float> values = random.values(3 * 4000);
  for (float& x : values) x = bf16_to_float(float_to_bf16(x));
  std::vector<float> changed = values;
  changed[11999] += 1.0f;
  std::vector<uint8_t> content;
  std::vector<TensorEntry> entries;
  const auto add = [&](const std::string& name, const std::vector<float>& data, DType dtype,
                       const std::vector<int64_t>& shape) {
    const std::vector<uint8_t> bytes = encode(data, dtype);
    entries.push_back(entry(name, shape, content.size(), content.size() + bytes.size(), dtype));
    content.insert(content.end(), bytes.begin(), bytes.end());
  };
  add("original", values, DType::kF32, {3000, 4});
  add("copy", values, DType::kF32, {3000, 4});
  add("narrow copy", values, DType::kBF16, {3000, 4});
  add("changed", changed, DType::kF32, {3000, 4});
  add("narrow changed", changed, DType::kBF16, {3000, 4});
  add("reshaped", values, DType::kF32, {4, 3000});
  CheckpointSource source({folder.write("weights.bin", content)}, entries);
  source.require_equal("copy", "original");
  source.require_equal("narrow copy", "original");
  for (const char* name : {"changed", "narrow changed", "reshaped"}) {
    CHECK_ERROR(ErrorCode::kCheckpoint, std::string("tensor ") + name + " differs from original",
                source.require_equal(name, "original"));
  }
  CHECK_ERROR(ErrorCode::kCheckpoint, "tensor absent is missing",
              source.require_equal("absent", "original"));
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(entries_outside_the_file), CASE(shapes_that_do_not_fill_their_bytes),
                    CASE(shapes_whose_product_overflows), CASE(names_listed_twice),
                    CASE(files_that_cannot_be_read), CASE(missing_and_misshapen_tensors),
                    CASE(elements_are_read_as_they_stand), CASE(a_file_that_is_cut_off_is_an_error),
                    CASE(what_nothing_asked_for_is_listed_in_order), CASE(copies_must_be_equal)});
}
