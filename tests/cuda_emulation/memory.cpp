// Every byte of shared memory and of the buffers a test has named remembers who wrote and who read it last.
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "emulator.h"

namespace emulation {

namespace {

enum class Spread { warp, block, cluster, grid };

struct Byte {
  Moment wrote, read;  // block 0: never
  const void *writer = nullptr, *reader = nullptr;
  Spread spread = Spread::warp;  // of those who read it, unordered among themselves
  uint32_t lanes = 0;            // which, where they are of one warp
  bool atomic = false;           // was the write
  bool flying = false;           // copy_async has not brought it yet
};

struct Region {
  uintptr_t begin, end;
  std::string name;
  bool shared, fresh;  // fresh: what was there before means nothing
  std::vector<Byte> bytes;
};

struct Copy {
  char* shared;
  const char* global;
  int bytes;
};

std::vector<Region> shared;   // the variables, then what the launch asks for, block by block of a cluster
std::vector<Region> buffers;  // by address
Region* last = nullptr;
std::vector<std::vector<std::vector<Copy>>> copies(2 * kMaxThreads);  // [thread][group]: the last one is open
alignas(4096) char dynamic[kMaxCluster][kMaxShared];
uint32_t told[kMaxCluster];  // [block of the cluster]: the cluster's epoch when another block stored into it last
thread_local volatile char anchor;  // gives the library thread-local memory, where __shared__ variables live

uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }

// `{offset in the library}`, which the test turns into file and line.
std::string place(const void* code) {
  Dl_info info{};
  dladdr(code, &info);
  char text[40];
  snprintf(text, sizeof text, "{%zx}", number(code) - number(info.dli_fbase) - 1);
  return text;
}

Region* find(const void* address) {
  const auto holds = [&](const Region& r) { return r.begin <= number(address) && number(address) < r.end; };
  if (last && holds(*last)) return last;
  for (Region& r : shared)
    if (holds(r)) return last = &r;
  const auto after = std::upper_bound(buffers.begin(), buffers.end(), number(address),
                                      [](uintptr_t at, const Region& r) { return at < r.begin; });
  return after > buffers.begin() && holds(after[-1]) ? last = &after[-1] : nullptr;
}

// Constants of the program: the segments of this library that nobody may write.
bool constant(const void* address) {
  struct Question {
    uintptr_t address;
    bool found;
  } question{number(address), false};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto* q = static_cast<Question*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          const uintptr_t from = info->dlpi_addr + segment.p_vaddr;
          if (segment.p_type == PT_LOAD && !(segment.p_flags & PF_W) && q->address - from < segment.p_memsz)
            q->found = true;
        }
        return 0;
      },
      &question);
  return question.found;
}

const char* verb(Access kind) { return kind == Access::read ? "reads" : kind == Access::write ? "writes" : "adds to"; }

std::string what(const void* address, size_t bytes) {
  const Region* r = find(address);
  return std::to_string(bytes) + " bytes at " + std::to_string(number(address) - r->begin) + " of " + r->name;
}

[[noreturn]] void outside(const void* address, size_t bytes, Access kind, const void* code, int thread) {
  const Region* nearest = nullptr;
  for (auto* regions : {&shared, &buffers})
    for (const Region& r : *regions)
      if (!nearest || llabs(long(number(address) - r.begin)) < llabs(long(number(address) - nearest->begin)))
        nearest = &r;
  std::string text = name(thread) + " " + verb(kind) + " " + std::to_string(bytes) + " bytes outside every buffer, at ";
  if (nearest)
    text += std::to_string(long(number(address) - nearest->begin)) + " of " + nearest->name + ", which has " +
            std::to_string(nearest->end - nearest->begin) + " bytes, ";
  fail(text + "at " + place(code));
}

[[noreturn]] void race(const void* at, size_t bytes, Access kind, const void* code, int thread, const Moment& earlier,
                       const char* did, const void* earlier_code) {
  const bool same_block = earlier.block == now(thread).block;
  fail("race: " + name(thread) + " " + verb(kind) + " " + what(at, bytes) + " at " + place(code) +
       ", unordered after " +
       (same_block ? name(earlier.thread) : "thread " + std::to_string(earlier.thread) + " of another block") + " " +
       did + " it at " + place(earlier_code));
}

Spread between(const Moment& a, const Moment& b) {
  if (!this_cluster(a)) return Spread::grid;
  if (a.block != b.block) return Spread::cluster;
  return a.thread / kWarp == b.thread / kWarp ? Spread::warp : Spread::block;
}

// Is `thread` not ordered after all who have read since the last write?
bool read_unordered(const Byte& b, int thread) {
  if (!b.read.block || !this_launch(b.read)) return false;
  const Moment here = now(thread);
  const Spread spread = std::max(b.spread, between(b.read, here));
  if (spread == Spread::grid) return true;
  if (b.read.cluster_epoch != here.cluster_epoch) return false;
  if (spread == Spread::cluster) return true;
  if (b.read.epoch != here.epoch) return false;
  if (spread == Spread::block) return true;
  for (int l = 0; l < kWarp; ++l) {
    Moment reader = b.read;
    reader.thread = b.read.thread / kWarp * kWarp + l;
    if (b.lanes >> l & 1 && !knows(reader, thread)) return true;
  }
  return false;
}

// Of several lanes that read, the latest time stands for all: with partial masks that errs on the side of a report.
void remember_read(Byte* b, int thread, const void* code) {
  const bool alone = !read_unordered(*b, thread);  // after all who have read before
  b->spread = alone ? Spread::warp : std::max(b->spread, between(b->read, now(thread)));
  b->lanes = 1u << thread % kWarp | (alone ? 0 : b->lanes);
  b->read = now(thread), b->reader = code;
}

}  // namespace

void access(const void* address, size_t bytes, Access kind, const void* code, int thread) {
  if (thread < 0 || (thread == running() && own_stack(address))) return;
  Region* r = find(address);
  if (!r && kind == Access::read && constant(address)) return;
  if (!r || number(address) + bytes > r->end) outside(address, bytes, kind, code, thread);
  if (r == &shared[0] && shared.size() > 2)
    fail(name(thread) + " uses a __shared__ variable in a cluster at " + place(code) + ": take dynamic_shared()");
  const auto refuse = [&](const char* why) {
    fail(name(thread) + " " + verb(kind) + " " + what(address, bytes) + " at " + place(code) + ", " + why);
  };
  const auto touch = [&](Byte* b) {
    if (b->flying) refuse("which copy_async has not brought yet");
    if (kind != Access::write && !b->wrote.block && r->fresh) refuse("which nobody has written");
    if (b->wrote.block && !(kind == Access::atomic && b->atomic) && !knows(b->wrote, thread))
      race(address, bytes, kind, code, thread, b->wrote, b->atomic ? "added to" : "wrote", b->writer);
    if (kind == Access::read) return remember_read(b, thread, code);
    if (read_unordered(*b, thread)) race(address, bytes, kind, code, thread, b->read, "read", b->reader);
    b->wrote = now(thread), b->writer = code, b->atomic = kind == Access::atomic, b->read.block = 0;
  };
  Byte* byte = &r->bytes[number(address) - r->begin];
  for (Byte *b = byte, before{}; b < byte + bytes; ++b) {
    const bool alike = b > byte && !memcmp(b, &before, sizeof before);  // with the byte before, as most are
    if (!alike) before = *b;
    alike ? void(*b = b[-1]) : touch(b);
  }
}

// __shared__ variables are thread-local: all of them lie in this library's block of the only host thread.
bool start_memory(unsigned cluster, size_t shared_bytes) {
  anchor = 0;
  struct Block {
    void* data;
    size_t size;
  } block{nullptr, 0};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto* b = static_cast<Block*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const uintptr_t offset = number(const_cast<char*>(&anchor)) - number(info->dlpi_tls_data);
          if (info->dlpi_phdr[i].p_type == PT_TLS && info->dlpi_tls_data && offset < info->dlpi_phdr[i].p_memsz)
            *b = {info->dlpi_tls_data, info->dlpi_phdr[i].p_memsz};
        }
        return 0;
      },
      &block);
  const uintptr_t variables = number(block.data);
  shared = {{variables, variables + block.size, "shared memory", true, true, std::vector<Byte>(block.size)}};
  for (unsigned rank = 0; rank < cluster && shared_bytes <= kMaxShared; ++rank) {
    const uintptr_t given = number(dynamic[rank]);
    const std::string name = "dynamic shared memory" + (cluster > 1 ? " of block " + std::to_string(rank) : "");
    shared.push_back({given, given + shared_bytes, name, true, true, std::vector<Byte>(shared_bytes)});
  }
  last = nullptr;
  return shared_bytes <= kMaxShared;
}

void start_block() {
  for (Region& r : shared) {
    memset(reinterpret_cast<void*>(r.begin), 0xFF, r.end - r.begin);
    r.bytes.assign(r.end - r.begin, Byte());
  }
  for (auto& thread : copies) thread.assign(1, {});
  std::fill(told, told + kMaxCluster, 0);
}

void forget_buffers() { buffers.clear(), last = nullptr; }

void leave_thread() {
  for (const auto& group : copies[running()])
    if (!group.empty()) fail(name(running()) + " leaves before its copy_async has come");
  if (told[cluster_rank()] == now(running()).cluster_epoch)
    fail(name(running()) + " leaves, though another block's store_remote into its block may be under way");
}

void* dynamic_shared() { return dynamic[cluster_rank()]; }

// The other block's memory is there from the first barrier of the cluster until a thread of it leaves.
void store_remote(float* to, int rank, float value, const void* code) {
  const uint32_t epoch = now(running()).cluster_epoch;
  if (rank != cluster_rank()) {
    if (epoch == 1 || somebody_left(rank))
      fail(name(running()) + " stores into block " + std::to_string(rank) + " of its cluster, which may not have " +
           (epoch == 1 ? "begun" : "stayed") + ", at " + place(code));
    told[rank] = epoch;
  }
  char* there = dynamic[rank] + (reinterpret_cast<char*>(to) - dynamic[cluster_rank()]);
  access(there, sizeof value, Access::write, code);
  memcpy(there, &value, sizeof value);
}

// The copy happens when it is waited for, as late as it may; until then nobody may touch where it goes.
void copy_async(void* to, const void* from, int bytes, const void* code) {
  if (bytes < 0 || bytes > 16 || number(to) % 16 || number(from) % 16)
    fail(name(running()) + " copies " + std::to_string(bytes) +
         " bytes, or from or to where no 16 bytes are aligned, at " + place(code));
  if (bytes) access(from, bytes, Access::read, code);
  access(to, 16, Access::write, code);
  Region* r = find(to);
  if (!r->shared) fail(name(running()) + " copies to what is no shared memory at " + place(code));
  for (int i = 0; i < 16; ++i) r->bytes[number(to) - r->begin + i].flying = true;
  copies[running()].back().push_back({static_cast<char*>(to), static_cast<const char*>(from), bytes});
}

void copy_async_commit() { copies[running()].emplace_back(); }

void copy_async_wait(size_t pending, const void* code) {
  auto& groups = copies[running()];
  for (; groups.size() > pending + 1; groups.erase(groups.begin()))
    for (const Copy& c : groups.front()) {
      Region* r = find(c.shared);
      for (int i = 0; i < 16; ++i) r->bytes[number(c.shared) - r->begin + i].flying = false;
      if (c.bytes) access(c.global, c.bytes, Access::read, code);
      access(c.shared, 16, Access::write, code);
      memset(c.shared, 0, 16);
      memcpy(c.shared, c.global, c.bytes);
    }
}

extern "C" {

// Buffers come by ascending address.
void emulation_buffer(void* data, size_t bytes, const char* name, bool fresh) {
  buffers.push_back({number(data), number(data) + bytes, name, false, fresh, std::vector<Byte>(bytes)});
  last = nullptr;
}

// What the compiler calls: the sizes of -fsanitize=thread, of which those up to 16 bytes are aligned.
#define SIZED(n)                                                                                      \
  void __tsan_read##n(void* p) { access(p, n, Access::read, __builtin_return_address(0)); }           \
  void __tsan_write##n(void* p) { access(p, n, Access::write, __builtin_return_address(0)); }         \
  void __tsan_unaligned_read##n(void* p) { access(p, n, Access::read, __builtin_return_address(0)); } \
  void __tsan_unaligned_write##n(void* p) { access(p, n, Access::write, __builtin_return_address(0)); }
SIZED(1)
SIZED(2)
SIZED(4)
SIZED(8)
SIZED(16)
void __tsan_read_range(void* p, size_t n) { access(p, n, Access::read, __builtin_return_address(0)); }
void __tsan_write_range(void* p, size_t n) { access(p, n, Access::write, __builtin_return_address(0)); }
void __tsan_vptr_update(void*, void*) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}

// Of -fsanitize=alignment,bounds.
void __ubsan_handle_type_mismatch_v1_abort(void*, void*) {
  if (running() < 0) abort();
  fail(name(running()) + " uses an address that is not aligned, at " + place(__builtin_return_address(0)));
}
void __ubsan_handle_out_of_bounds_abort(void*, void*) {
  if (running() < 0) abort();
  fail(name(running()) + " goes beyond the bounds of an array at " + place(__builtin_return_address(0)));
}
}

}  // namespace emulation
