// Blocks, threads as fibers, and where they meet.
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "emulator.h"

namespace emulation {

namespace {

constexpr size_t kStack = 512 * 1024;

struct Thread {
  ucontext_t context;
  bool begun = false, left = false;
  dim3 index;
  const char* what = nullptr;  // where it waits; null: nowhere
  Place place{};
  unsigned mask = 0;  // whom for; 0: the block, or
  bool whole_cluster = false;
  void* mine = nullptr;
};

struct Warp {
  uint32_t time = 1;                     // counts this warp's __syncwarp
  uint32_t known[kWarp][kWarp] = {{0}};  // [lane][other]: the other's accesses before this time lie behind the lane
};

std::vector<Thread> threads(kMaxThreads * 2);  // of all blocks of a cluster, together at most 2,048
std::vector<Warp> warps;
std::vector<int> ready;
size_t count, per_block;                             // threads of a cluster, of a block
size_t at_barrier[kMaxCluster], at_cluster_barrier;  // threads
int current = -1;
dim3 grid_dim, block_dim;
size_t first_block;  // of the cluster, in the grid
uint32_t block_number = 0, next_block = 1, cluster_epoch = 0, first_of_launch = 0;
uint32_t epochs[kMaxCluster];
void (*kernel)(const void*);
const void* arguments;
ucontext_t host;
std::string fault;
uint64_t random_state;
std::string removed_file;
int removed_line = 0;

size_t random_below(size_t limit) {
  random_state = random_state * 6364136223846793005 + 1442695040888963407;
  return (random_state >> 33) % limit;
}

dim3 unflatten(size_t i, dim3 size) {
  return {unsigned(i % size.x), unsigned(i / size.x % size.y), unsigned(i / size.x / size.y)};
}

std::string where(const Place& place) {
  const char* slash = strrchr(place.file, '/');
  return std::string(slash ? slash + 1 : place.file) + ":" + std::to_string(place.line);
}

bool same(const Thread& a, const Thread& b) {
  return !a.left && !b.left && a.what && b.what && a.mask == b.mask && a.place.line == b.place.line &&
         !strcmp(a.what, b.what) && !strcmp(a.place.file, b.place.file);
}

std::string doing(const Thread& t) {
  if (t.left) return "has left the kernel";
  std::string text = "waits in " + std::string(t.what) + " at " + where(t.place);
  char mask[32] = "";
  if (t.mask) snprintf(mask, sizeof mask, " for lanes %08x", t.mask);
  return text + mask;
}

size_t block_of(size_t thread) { return thread / per_block; }

// Does t wait for u?
bool waits_for(size_t t, size_t u) {
  if (threads[t].mask) return t / kWarp == u / kWarp && threads[t].mask >> u % kWarp & 1;
  return threads[t].whole_cluster || block_of(t) == block_of(u);
}

// Nobody can go on: somebody waits for one who does not come.
[[noreturn]] void deadlock() {
  for (size_t t = 0; t < count; ++t)
    for (size_t u = 0; !threads[t].left && u < count; ++u)
      if (waits_for(t, u) && !same(threads[t], threads[u]))
        fail(name(t) + " " + doing(threads[t]) + ", but " + name(u) + " " + doing(threads[u]));
  fail("deadlock");
}

// The host thread goes to a fiber that can go on.
void change() {
  if (ready.empty()) deadlock();
  const int from = current;
  std::swap(ready[random_below(ready.size())], ready.back());
  current = ready.back();
  ready.pop_back();
  if (from != current) swapcontext(&threads[from].context, &threads[current].context);
}

void fiber() {
  for (;;) {
    kernel(arguments);
    threads[current].left = true;
    leave_thread();
    if (ready.empty()) {
      if (!std::all_of(threads.begin(), threads.begin() + count, [](const Thread& t) { return t.left; })) deadlock();
      swapcontext(&threads[current].context, &host);
    } else {
      change();
    }
  }
}

void release(int t) {
  threads[t].what = nullptr;
  ready.push_back(t);
}

void wait(const char* what, Place place, unsigned mask, void* mine, bool whole_cluster = false) {
  Thread& me = threads[current];
  me.whole_cluster = whole_cluster;
  me.what = what, me.place = place, me.mask = mask, me.mine = mine;
}

void run_cluster(char* stacks) {
  cluster_epoch = 1, at_cluster_barrier = 0;
  std::fill(epochs, epochs + kMaxCluster, 1);
  std::fill(at_barrier, at_barrier + kMaxCluster, 0);
  warps.assign((count + kWarp - 1) / kWarp, Warp());
  ready.clear();
  for (size_t t = 0; t < count; ++t) {
    Thread& thread = threads[t];
    thread.left = false, thread.what = nullptr, thread.index = unflatten(t % per_block, block_dim);
    ready.push_back(t);
    if (std::exchange(thread.begun, true)) continue;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = stacks + t * kStack, thread.context.uc_stack.ss_size = kStack;
    makecontext(&thread.context, fiber, 0);
  }
  start_block();
  current = ready.back();
  ready.pop_back();
  swapcontext(&host, &threads[current].context);
  current = -1;
}

char* stacks() {
  static char* memory = static_cast<char*>(mmap(nullptr, threads.size() * kStack, PROT_READ | PROT_WRITE,
                                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return memory;
}

}  // namespace

void launch(dim3 grid, dim3 block, unsigned cluster, size_t shared_bytes, void (*thread)(const void*),
            const void* args) {
  if (!fault.empty()) return;
  per_block = block.count(), count = per_block * cluster, grid_dim = grid, block_dim = block;
  kernel = thread, arguments = args;
  const bool whole = cluster == 1 || (grid.count() % cluster == 0 && grid.count() == grid.x && per_block % kWarp == 0);
  if (!grid.count() || !count || per_block > kMaxThreads || count > threads.size() || cluster > kMaxCluster || !whole ||
      !start_memory(cluster, shared_bytes)) {
    fault = "a launch of " + std::to_string(grid.count()) + " blocks, " + std::to_string(cluster) +
            " to a cluster, of " + std::to_string(per_block) + " threads and " + std::to_string(shared_bytes) +
            " bytes of dynamic shared memory, which no device takes, or not this one";
    return;
  }
  first_of_launch = next_block;
  std::vector<size_t> order(grid.count() / cluster);
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
    std::swap(order[i], order[random_below(i + 1)]);
  }
  for (size_t i = 0; i < order.size() && fault.empty(); ++i) {
    first_block = order[i] * cluster;
    block_number = next_block, next_block += cluster;
    run_cluster(stacks());
  }
}

void block_barrier(Place place) {
  if (removed(place)) return;
  const size_t block = block_of(current), begin = block * per_block, end = begin + per_block;
  wait("__syncthreads", place, 0, nullptr);
  if (++at_barrier[block] < per_block) return change();
  for (size_t t = begin; t < end; ++t)
    if (!same(threads[current], threads[t])) deadlock();
  ++epochs[block], at_barrier[block] = 0;
  for (size_t t = begin; t < end; ++t) release(t);
  change();
}

void cluster_barrier(Place place) {
  if (removed(place)) return;
  wait("cluster_sync", place, 0, nullptr, true);
  if (++at_cluster_barrier < count) return change();
  for (size_t t = 0; t < count; ++t)
    if (!same(threads[current], threads[t])) deadlock();
  ++cluster_epoch, at_cluster_barrier = 0;
  for (uint32_t& epoch : epochs) ++epoch;
  for (size_t t = 0; t < count; ++t) release(t);
  change();
}

void meet(const char* what, unsigned mask, Place place, void* mine, void (*complete)(void**)) {
  const int first = current / kWarp * kWarp;
  wait(what, place, mask, mine);
  if (!(mask >> current % kWarp & 1)) fail(name(current) + " " + doing(threads[current]) + ", itself not among them");
  void* lanes[kWarp]{};
  for (int l = 0; l < kWarp; ++l) {
    if (!(mask >> l & 1)) continue;
    if (first + l >= int(count)) fail(name(current) + " " + doing(threads[current]) + ", more than the warp has");
    if (!same(threads[current], threads[first + l])) return change();
    lanes[l] = threads[first + l].mine;
  }
  complete(lanes);
  for (int l = 0; l < kWarp; ++l)
    if (mask >> l & 1) release(first + l);
  change();
}

void warp_barrier(unsigned mask, Place place) {
  if (removed(place)) return;
  unsigned copy = mask;
  meet("__syncwarp", mask, place, &copy, [](void** lanes) {
    Warp& warp = warps[current / kWarp];
    uint32_t joint[kWarp]{};
    ++warp.time;
    for (int l = 0; l < kWarp; ++l)
      for (int other = 0; lanes[l] && other < kWarp; ++other)
        joint[other] = std::max(joint[other], lanes[other] ? warp.time : warp.known[l][other]);
    for (int l = 0; l < kWarp; ++l)
      if (lanes[l]) std::copy(joint, joint + kWarp, warp.known[l]);
  });
}

bool removed(Place place) { return place.line == removed_line && where(place) == removed_file; }
int running() { return current; }
dim3 thread_index() { return threads[current].index; }
dim3 block_index() { return unflatten(first_block + cluster_rank(), grid_dim); }
int cluster_rank() { return current < 0 ? 0 : block_of(current); }
bool somebody_left(int rank) {
  const auto first = threads.begin() + rank * per_block;
  return std::any_of(first, first + per_block, [](const Thread& t) { return t.left; });
}
dim3 block_size() { return block_dim; }
dim3 grid_size() { return grid_dim; }
bool this_launch(const Moment& earlier) { return earlier.block >= first_of_launch; }

bool this_cluster(const Moment& earlier) {
  return earlier.block >= block_number && earlier.block < block_number + count / per_block;
}

bool own_stack(const void* address) {
  const char* stack = stacks() + current * kStack;
  return stack <= address && address < stack + kStack;
}

Moment now(int thread) {
  const auto block = static_cast<uint32_t>(block_of(thread));
  return {block_number + block, epochs[block], warps[thread / kWarp].time, cluster_epoch, thread};
}

bool knows(const Moment& earlier, int thread) {
  if (earlier.block < first_of_launch) return true;
  if (!this_cluster(earlier)) return false;
  const size_t block = block_of(thread);
  if (earlier.cluster_epoch != cluster_epoch) return true;
  if (earlier.block != block_number + block) return false;
  if (earlier.epoch != epochs[block] || earlier.thread == thread) return true;
  return earlier.thread / kWarp == thread / kWarp &&
         warps[thread / kWarp].known[thread % kWarp][earlier.thread % kWarp] > earlier.time;
}

std::string name(int thread) {
  const dim3 t = unflatten(thread % per_block, block_dim), b = unflatten(first_block + block_of(thread), grid_dim);
  const auto write = [](const dim3& at, const dim3& size) {
    std::string text = std::to_string(at.x);
    if (size.y * size.z > 1) text += "," + std::to_string(at.y) + "," + std::to_string(at.z);
    return text;
  };
  return "thread " + write(t, block_dim) + " of block " + write(b, grid_dim);
}

void fail(const std::string& text) {
  if (fault.empty()) fault = text;
  for (Thread& thread : threads) thread.begun = false;
  setcontext(&host);
  __builtin_unreachable();
}

extern "C" void emulation_begin(uint64_t seed, const char* without) {
  fault.clear();
  forget_buffers();
  random_state = seed;
  removed_file = without;
  const size_t colon = removed_file.find(':');
  removed_line = colon == std::string::npos ? 0 : std::stoi(removed_file.substr(colon + 1));
}
extern "C" const char* emulation_fault() { return fault.c_str(); }

}  // namespace emulation
