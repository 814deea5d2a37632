#include "emulation/device_stream_emulated.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "emulation/cuda_emulation.h"
#include "emulation/device_memory_emulated.h"

namespace speccascade::emulation {

namespace {

thread_local int recordings_here = 0;  // of this thread, under way

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

}  // namespace

std::unique_ptr<DeviceStream> open_emulated_stream() { return std::make_unique<EmulatedStream>(); }

void check_not_recording(const char* what) {
  if (recordings_here == 0) return;
  fail(ErrorCode::kDevice, "emulated device: ", what, " while a stream records");
}

void let_kernels_overlap(bool overlap) { kernels_overlap = overlap; }

void fail_recordings(int count) { recordings_to_fail = count; }

void queue_kernel(void* stream, const Kernel& kernel) {
  static_cast<EmulatedStream*>(stream)->queue_kernel(kernel);
}

}  // namespace speccascade::emulation
