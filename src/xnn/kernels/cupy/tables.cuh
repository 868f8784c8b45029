// Tables of pieces of memory, so that one launch goes over all of them as if they lay end to end.
#pragma once

// Numbers flat[start ...] of a flat vector; `first` is their first index among those of all runs.
struct Run {
  long long first, start, decays;
};

// A vector and another one of the same length; `first` is its first index among the numbers of all vectors.
struct VectorPair {
  long long first;
  float *vector, *copy;
};

// The row that index i belongs to: the last one with first <= i.
template <typename Row> __device__ inline Row row_of(const Row* rows, long long count, long long i) {
  long long low = 0;
  for (long long high = count; high - low > 1;) {
    const long long middle = (low + high) / 2;
    if (rows[middle].first <= i) low = middle; else high = middle;
  }
  return rows[low];
}
