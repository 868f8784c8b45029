// Dropout, with the mask drawn anew in each pass from the draw's two keys rather than kept.
#include "elementwise.cuh"

// As `_mix` in xnn/random.py: of its 64 bits it too keeps the lower 32.
__device__ inline unsigned int mix(unsigned long long word) {
  unsigned int mixed = word ^ (word >> 16);
  mixed *= 0x21F0AAADu;
  mixed ^= mixed >> 15;
  mixed *= 0x735A2D97u;
  return mixed ^ (mixed >> 15);
}

// The word at position i of the draw with these keys of 32 bits, as `Random` makes it.
__device__ inline unsigned int word(long long i, long long key0, long long key1) { return mix(mix(i ^ key0) ^ key1); }

// y_i = scale x_i where the uniform number u_i, the upper 24 bits of a word, is at least `least`, else 0; also dx from dy.
template <typename T>
__global__ void dropout(const T* x, T* y, long long size, long long key0, long long key1, long long least, float scale) {
  auto kept = [=](long long i, float x) { return (word(i, key0, key1) >> 8) >= least ? x * scale : 0.0f; };
  map_numbers(kept, size, y, x);
}
