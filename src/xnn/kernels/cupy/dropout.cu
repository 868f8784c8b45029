// Dropout, with the mask drawn anew in each pass from the draw's two keys rather than kept.
#include "draws.cuh"
#include "elementwise.cuh"

// y_i = scale x_i where the uniform number u_i, the upper 24 bits of a word, is at least `least`, else 0; also dx from dy.
template <typename T>
__global__ void dropout(const T* x, T* y, long long size, long long key0, long long key1, long long least, float scale) {
  auto kept = [=](long long i, float x) { return (word_at(i, key0, key1) >> 8) >= least ? x * scale : 0.0f; };
  map_numbers(kept, size, y, x);
}
