// Thin wrappers over the tensor cores' instructions of sm_80: tiles from shared memory, the product, copies that run
// beside the arithmetic. A plain C++ compiler takes them from the emulation in tests/cuda_emulation/.
//
// Who holds what, with r = lane / 4 and c = lane % 4; a register holds two neighbours, the first in its lower half:
//   A [16, 16]  a[0] A[r][2c..]   a[1] A[r + 8][2c..]   a[2] A[r][2c + 8..]   a[3] A[r + 8][2c + 8..]
//   B [16, 8]   b[0] B[2c..][r]   b[1] B[2c + 8..][r]
//   C [16, 8]   c[0], c[1] C[r][2c..]   c[2], c[3] C[r + 8][2c..]
// Neither a load nor a product orders memory: what other lanes wrote needs a barrier before it is loaded.
#pragma once

#include <cstdint>

#ifdef __CUDACC__

namespace pyslsac {

__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Four 8 x 8 matrices: lane l names row l % 8 (16 bytes, aligned) of matrix l / 8 and gets M[r][2c..] of matrix i in
// x[i]. A from rows of 16: row % 16 = l % 16, column = 8 (l / 16).
__device__ __forceinline__ void load_matrix(uint32_t (&x)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(shared_address(row))
               : "memory");
}

// The same of the transposed matrices: M[2c..][r].
__device__ __forceinline__ void load_matrix_transposed(uint32_t (&x)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(shared_address(row))
               : "memory");
}

// C += A B, bfloat16 factors, float32 sums.
__device__ __forceinline__ void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// 16 aligned bytes on their way from global to shared memory: the first `bytes` of them, the others zero. They are
// there, for the lane that asked, once it has waited for them, and for all others after a barrier behind that.
__device__ __forceinline__ void copy_async(void* shared, const void* global, int bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
}

// Closes a group of this lane's copies.
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for this lane's groups, but for the last kPending.
template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace pyslsac

#else
#include <emulated_mma.h>
#endif
