#include "activations.cuh"
#include "columns.cuh"

// y_ij = f(y_ij + b_j), in place. A thread has N columns and strides over the rows.
template <typename T, int N, typename F>
__global__ void add_bias(const Channels<T, N>* bias, Channels<T, N>* y, long long rows, long long length) {
  long long column = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (column >= length) return;
  Channels<T, N> b = bias[column];
  for (long long row = blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += gridDim.y * blockDim.y) {
    Channels<T, N>& place = y[row * length + column];
    Channels<T, N> z = place;
    for (int n = 0; n < N; ++n) z.each[n] = T(F::value(z[n] + b[n]));
    place = z;
  }
}
