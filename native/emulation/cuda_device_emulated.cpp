// The emulated device's memory: mappings that fault when the host touches them. Kernels of a stream
// and its copies open them for as long as they run. Its streams and their graphs.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/cuda_device.h"
#include "base/error.h"
#include "emulation/cuda_emulation.h"

namespace speccascade {

namespace emulation {

namespace {

struct Pool {
  std::map<uintptr_t, size_t> pieces;  // begin, bytes
  size_t used = 0;
  size_t limit = size_t{1} << 30;

  bool holds(uintptr_t begin, size_t bytes) const {
    auto piece = pieces.upper_bound(begin);
    if (piece == pieces.begin()) return false;
    --piece;
    return begin + bytes <= piece->first + piece->second;
  }
  void set_limit(size_t bytes) {
    if (bytes < used) fail(ErrorCode::kInput, "emulated device: ", used, " bytes are in use");
    limit = bytes;
  }
};

// Of the process: the one emulated device.
struct DeviceMemory {
  std::mutex mutex;
  Pool device;   // pieces in whole pages
  Pool host;     // page-locked
  int open = 0;  // accesses under way
};

DeviceMemory& memory() {
  static DeviceMemory instance;
  return instance;
}

struct AtomicCounts {
  std::atomic<int64_t> launches, graphs, copies_down, copies_up, bytes_up, waits;
};

AtomicCounts& counts() {
  static AtomicCounts instance;
  return instance;
}

size_t whole_pages(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// A mapping that stays as it was would hide mistakes: there is no going on.
void protect(const DeviceMemory& all, int access) noexcept {
  for (const auto& [begin, bytes] : all.device.pieces) {
    if (mprotect(reinterpret_cast<void*>(begin), bytes, access) != 0) std::abort();
  }
}

void check_device_memory(const void* begin, size_t bytes, const char* what) {
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (all.device.holds(reinterpret_cast<uintptr_t>(begin), bytes)) return;
  fail(ErrorCode::kDevice, "emulated device: ", what, " of ", bytes,
       " bytes that are not device memory");
}

bool is_page_locked(const void* begin, size_t bytes) {
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  return all.host.holds(reinterpret_cast<uintptr_t>(begin), bytes);
}

thread_local int recordings_here = 0;  // of this thread, under way

void check_not_recording(const char* what) {
  if (recordings_here == 0) return;
  fail(ErrorCode::kDevice, "emulated device: ", what, " while a stream records");
}

std::atomic<int> recordings_to_fail = 0;
std::atomic<bool> kernels_overlap = true;

struct EmulatedGraph final : DeviceGraph {
  const DeviceStream* stream = nullptr;
  std::vector<std::function<void()>> work;
};

class EmulatedStream final : public DeviceStream {
 public:
  // From here to the next synchronize() the memory stays open: a change of access for every launch
  // would take longer than small kernels.
  void activate() override {
    if (!access_) access_.emplace(true);
  }

  void copy_to_device(void* device_memory, const void* host, size_t bytes) override {
    check_device_memory(device_memory, bytes, "a copy to");
    queue_copy(host, bytes, [=, this] {
      ++counts().copies_down;
      const DeviceAccess access(true);
      std::memcpy(device_memory, host, bytes);
      if (!is_page_locked(host, bytes)) return;  // a GPU's driver takes it at once too
      const char* sent = static_cast<const char*>(host);
      sent_.push_back({const_cast<void*>(host), {sent, sent + bytes}});
    });
  }

  // Lands at synchronize(); until then the host has nothing to read.
  void copy_to_host(void* host, const void* device_memory, size_t bytes) override {
    check_device_memory(device_memory, bytes, "a copy from");
    queue_copy(host, bytes, [=, this] {
      ++counts().copies_up;
      counts().bytes_up += static_cast<int64_t>(bytes);
      check_sent();  // before it is overwritten
      Piece landing = {host, std::vector<char>(bytes)};
      {
        const DeviceAccess access(true);
        std::memcpy(landing.bytes.data(), device_memory, bytes);
      }
      std::memset(host, 0xff, bytes);
      landings_.push_back(std::move(landing));
    });
  }

  void synchronize() override {
    check_not_recording("a wait");
    end_kernel();
    access_.reset();
    ++counts().waits;
    const std::vector<Piece> landings = std::exchange(landings_, {});
    check_sent();
    for (const Piece& landing : landings) {
      std::memcpy(landing.host, landing.bytes.data(), landing.bytes.size());
    }
  }

  void* handle() const override { return const_cast<EmulatedStream*>(this); }

  void mark(size_t number) override {
    check_not_recording("a mark");
    end_kernel();
    if (marks_.size() <= number) marks_.resize(number + 1);
    marks_[number] = std::chrono::steady_clock::now();
  }
  double milliseconds(size_t from, size_t to) override {
    return std::chrono::duration<double, std::milli>(marks_.at(to) - marks_.at(from)).count();
  }

  std::unique_ptr<DeviceGraph> record(const std::function<void()>& queue) override {
    check_not_recording("a recording");
    if (recordings_to_fail > 0) {
      --recordings_to_fail;
      fail(ErrorCode::kDevice, "emulated device: recording a graph: told to fail");
    }
    auto graph = std::make_unique<EmulatedGraph>();
    graph->stream = this;
    const Recording recording(*this, &graph->work);
    queue();
    ++counts().graphs;
    return graph;
  }

  void launch(DeviceGraph& graph) override {
    check_not_recording("a graph");
    const auto& recorded = static_cast<EmulatedGraph&>(graph);
    if (recorded.stream != this) fail(ErrorCode::kDevice, "emulated device: another's graph");
    ++counts().launches;
    end_kernel();
    for (const auto& work : recorded.work) work();
    end_kernel();
  }

  void queue_kernel(const Kernel& kernel) {
    if (recorded_ == nullptr) ++counts().launches;
    put([this, kernel] { start_kernel(kernel); });
  }

 private:
  // Bytes of the host's.
  struct Piece {
    void* host;
    std::vector<char> bytes;
  };

  class Recording {
   public:
    Recording(EmulatedStream& stream, std::vector<std::function<void()>>* work) : stream_(stream) {
      stream_.recorded_ = work;
      ++recordings_here;
    }
    ~Recording() {
      stream_.recorded_ = nullptr;
      --recordings_here;
    }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

   private:
    EmulatedStream& stream_;
  };

  void put(std::function<void()> work) {
    if (recorded_ != nullptr) return recorded_->push_back(std::move(work));
    work();
  }

  // One that waits begins, as far as it can, before the kernel before it goes on; it ends when
  // something comes behind it.
  void start_kernel(const Kernel& kernel) {
    const DeviceAccess access(true);
    const bool early = kernel.waits && kernels_overlap;
    if (!early) end_kernel();
    auto next = std::make_unique<Launch>(kernel, !early);
    if (!early) return next->finish();
    next->begin();
    end_kernel();
    under_way_ = std::move(next);
  }

  void end_kernel() {
    const std::unique_ptr<Launch> last = std::move(under_way_);
    if (!last) return;
    const DeviceAccess access(true);
    last->finish();
  }

  // A GPU copies other memory at once, or not at all, while it records.
  void queue_copy(const void* host, size_t bytes, std::function<void()> copy) {
    if (recorded_ != nullptr && !is_page_locked(host, bytes)) {
      fail(ErrorCode::kDevice, "emulated device: a recorded copy of ", bytes,
           " bytes that are not page-locked");
    }
    put([this, copy = std::move(copy)] {
      end_kernel();
      copy();
    });
  }

  // What went down at once here may be on its way for as long on a GPU.
  void check_sent() {
    const std::vector<Piece> sent = std::exchange(sent_, {});
    for (const Piece& piece : sent) {
      if (std::memcmp(piece.host, piece.bytes.data(), piece.bytes.size()) == 0) continue;
      fail(ErrorCode::kDevice, "emulated device: ", piece.bytes.size(),
           " bytes of the host were changed while they were copied");
    }
  }

  std::unique_ptr<Launch> under_way_;  // a kernel that has begun
  std::vector<Piece> sent_, landings_;
  std::vector<std::function<void()>>* recorded_ = nullptr;
  std::optional<DeviceAccess> access_;
  std::vector<std::chrono::steady_clock::time_point> marks_;
};

class EmulatedDevice final : public Device {
 public:
  const std::string& name() const override { return name_; }
  int multiprocessors() const override { return kMultiprocessors; }

  void* allocate(size_t bytes) override {
    check_not_recording("an allocation");
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const size_t free_bytes = all.device.limit - all.device.used;
    const size_t mapped = whole_pages(bytes);
    void* begin = MAP_FAILED;
    if (bytes <= free_bytes) {
      const int access = all.open > 0 ? PROT_READ | PROT_WRITE : PROT_NONE;
      begin = mmap(nullptr, mapped, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (begin == MAP_FAILED) {
      fail(ErrorCode::kOutOfMemory, "out of memory on ", name_, ": needed ", bytes, " bytes, free ",
           free_bytes);
    }
    all.device.pieces.emplace(reinterpret_cast<uintptr_t>(begin), mapped);
    all.device.used += bytes;
    return begin;
  }

  void release(void* begin, size_t bytes) noexcept override {
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.device.pieces.erase(reinterpret_cast<uintptr_t>(begin));
    all.device.used -= bytes;
    munmap(begin, whole_pages(bytes));
  }

  // From the heap, where sanitizers watch its ends.
  void* allocate_host(size_t bytes) override {
    check_not_recording("an allocation");
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    void* begin = bytes <= all.host.limit - all.host.used ? std::calloc(bytes, 1) : nullptr;
    if (begin == nullptr) {
      fail(ErrorCode::kOutOfMemory, "out of page-locked memory for ", name_, ": needed ", bytes,
           " bytes");
    }
    all.host.pieces.emplace(reinterpret_cast<uintptr_t>(begin), bytes);
    all.host.used += bytes;
    return begin;
  }

  void release_host(void* begin, size_t bytes) noexcept override {
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.host.pieces.erase(reinterpret_cast<uintptr_t>(begin));
    all.host.used -= bytes;
    std::free(begin);
  }

  std::unique_ptr<DeviceStream> open_stream() override {
    return std::make_unique<EmulatedStream>();
  }

 private:
  std::string name_ = "cuda:0";
};

}  // namespace

DeviceAccess::DeviceAccess(bool to_device_memory) : opens_(to_device_memory) {
  if (!opens_) return;
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (all.open++ == 0) protect(all, PROT_READ | PROT_WRITE);
}

DeviceAccess::~DeviceAccess() {
  if (!opens_) return;
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (--all.open == 0) protect(all, PROT_NONE);
}

// Which bytes are pointers is not known, so every aligned word is looked at: what is an address of
// this process, beyond the sanitizers' shadow, is taken for one. Sizes and counts of the shapes
// that run here are far below.
void check_addresses(const void* bytes, size_t count) {
  constexpr uintptr_t kLowest = uintptr_t{0x2000} << 32;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  for (size_t at = 0; at + sizeof(uintptr_t) <= count; at += sizeof(uintptr_t)) {
    uintptr_t word = 0;
    std::memcpy(&word, static_cast<const char*>(bytes) + at, sizeof(word));
    if (word < kLowest || all.device.holds(word, 1)) continue;
    void* begin = reinterpret_cast<void*>(word / page * page);
    if (msync(begin, page, MS_ASYNC) != 0) continue;  // nothing is mapped there
    fail(ErrorCode::kDevice, "emulated device: a kernel's argument leads to host memory, at byte ",
         at, " of ", count);
  }
}

void set_device_memory(size_t bytes) {
  const std::lock_guard<std::mutex> lock(memory().mutex);
  memory().device.set_limit(bytes);
}

size_t used_device_memory() {
  const std::lock_guard<std::mutex> lock(memory().mutex);
  return memory().device.used;
}

void set_host_memory(size_t bytes) {
  const std::lock_guard<std::mutex> lock(memory().mutex);
  memory().host.set_limit(bytes);
}

size_t used_host_memory() {
  const std::lock_guard<std::mutex> lock(memory().mutex);
  return memory().host.used;
}

void fail_recordings(int count) { recordings_to_fail = count; }

DeviceCounts device_counts() {
  const AtomicCounts& all = counts();
  return {all.launches, all.graphs, all.copies_down, all.copies_up, all.bytes_up, all.waits};
}

void queue_kernel(void* stream, const Kernel& kernel) {
  static_cast<EmulatedStream*>(stream)->queue_kernel(kernel);
}

}  // namespace emulation

std::vector<DeviceInfo> cuda_devices(std::string*) {
  DeviceInfo device;
  device.name = "emulated device";
  device.kind = "cuda";
  device.memory_bytes = emulation::memory().device.limit;
  device.compute_capability = "8.0";
  device.note = "emulated on the CPU, for tests";
  return {device};
}

void overlap_launches(bool overlap) { emulation::kernels_overlap = overlap; }

std::shared_ptr<Device> open_cuda_device(int index) {
  if (index != 0) fail(ErrorCode::kDevice, "device cuda:", index, ": one device is emulated");
  return std::make_shared<emulation::EmulatedDevice>();
}

}  // namespace speccascade
