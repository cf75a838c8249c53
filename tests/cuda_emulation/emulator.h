// A launch without a GPU. Blocks run one after the other in shuffled order; the threads of a block are fibers of one
// host thread, which change, in shuffled order, only where they meet (threads.cpp). The kernel is compiled with
// -fsanitize=thread but linked without that library: its hooks, called at every access to memory, are ours, and look
// for races, for what was never written and for what lies outside every buffer (memory.cpp). The first fault ends a
// launch and all that follow. The blocks of a cluster run together, all their threads as fibers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  size_t count() const { return size_t{x} * y * z; }
};

namespace emulation {

constexpr int kWarp = 32;
constexpr size_t kMaxThreads = 1024, kMaxShared = 227 * 1024;  // of a block
constexpr unsigned kMaxCluster = 8;                            // blocks

// A line of the kernel's source: where a thread meets others.
struct Place {
  const char* file;
  int line;
};
// As last parameters: the line of the call.
#define HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

// When and by whom. Two moments are ordered within a thread, across a barrier of the block (another epoch) or of the
// cluster, across a __syncwarp of both lanes and across launches; not by a shuffle, a vote or a product, and never
// between blocks of different clusters.
struct Moment {
  uint32_t block = 0, epoch = 0, time = 0;  // block: number since the process began; time: of the warp
  uint32_t cluster_epoch = 0;
  int thread = 0;  // in the cluster
};

// threads.cpp
void launch(dim3 grid, dim3 block, unsigned cluster, size_t shared_bytes, void (*thread)(const void*),
            const void* args);
void block_barrier(Place place);
void cluster_barrier(Place place);
int cluster_rank();
bool somebody_left(int rank);  // a thread of this block of the cluster
void warp_barrier(unsigned mask, Place place);
// Waits for all lanes of `mask` to come to this place; the last one calls complete(lanes), lanes[i] the `mine` of lane
// i or null. No lane goes on before that.
void meet(const char* what, unsigned mask, Place place, void* mine, void (*complete)(void** lanes));
bool removed(Place place);  // does this run leave out the barrier that stands there?
int running();              // the thread, -1: host code
dim3 thread_index(), block_index(), block_size(), grid_size();
Moment now(int thread);                         // of a thread of the warp that runs
bool knows(const Moment& earlier, int thread);  // is it ordered before now(thread)?
bool this_launch(const Moment& earlier);
bool this_cluster(const Moment& earlier);
bool own_stack(const void* address);
std::string name(int thread);
[[noreturn]] void fail(const std::string& fault);

// memory.cpp
enum class Access { read, write, atomic };
void access(const void* address, size_t bytes, Access kind, const void* code, int thread = running());
void* dynamic_shared();
void store_remote(float* shared, int rank, float value, const void* code);
void copy_async(void* shared, const void* global, int bytes, const void* code);
void copy_async_commit();
void copy_async_wait(size_t pending, const void* code);
bool start_memory(unsigned cluster, size_t shared_bytes);  // for a launch; false: more than there is
void start_block();
void forget_buffers();
void leave_thread();

}  // namespace emulation
