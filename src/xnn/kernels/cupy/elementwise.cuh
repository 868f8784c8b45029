// Functions of numbers at the same place of several arrays.
#pragma once
#include "common.cuh"

// N numbers that are read or written at once.
template <typename T, int N> struct alignas(N * sizeof(T)) Pack { T each[N]; };

__device__ inline float infinity() { return __int_as_float(0x7f800000); }
__device__ inline float not_a_number() { return __int_as_float(0x7fffffff); }

// f(first + k, x0[k], x1[k], ...) for each k of the packs.
template <typename T, int N, typename F, typename... X>
__device__ inline Pack<T, N> map_packs(F f, long long first, const Pack<X, N>&... x) {
  Pack<T, N> y;
  for (int k = 0; k < N; ++k) y.each[k] = T(f(first + k, float(x.each[k])...));
  return y;
}

// y[i] = f(i, x0[i], x1[i], ...) for 0 <= i < size: 16 bytes of y at once if all arrays begin at a multiple of 16 bytes.
template <typename T, typename F, typename... X>
__device__ inline void map_numbers(F f, long long size, T* y, const X*... x) {
  constexpr int N = 16 / sizeof(T);
  bool is_aligned = ((size_t(y) | ... | size_t(x)) % 16) == 0;
  long long packs = is_aligned ? size / N : 0;
  for (long long p = first_index(); p < packs; p += all_threads())
    ((Pack<T, N>*)y)[p] = map_packs<T, N>(f, p * N, ((const Pack<X, N>*)x)[p]...);
  for (long long i = packs * N + first_index(); i < size; i += all_threads()) y[i] = T(f(i, float(x[i])...));
}
