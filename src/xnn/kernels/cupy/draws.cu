// A draw of xnn.random in one pass.
#include "common.cuh"
#include "draws.cuh"

// u = floor(w / 2**8) 2**-24
template <typename T>
__global__ void uniform(T* u, long long size, long long key0, long long key1) {
  for (long long i = first_index(); i < size; i += all_threads()) {
    u[i] = T(word_at(i, key0, key1) >> 8) * T(1.0 / (1 << 24));
  }
}

// n = low + floor(w range / 2**32)
__global__ void integers(long long* n, long long size, long long key0, long long key1, long long low, long long range) {
  for (long long i = first_index(); i < size; i += all_threads()) {
    n[i] = low + (long long)((word_at(i, key0, key1) * (unsigned long long)range) >> 32);
  }
}
