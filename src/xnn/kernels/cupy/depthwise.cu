// Depthwise convolution, channels last: each input channel c has outputs of its own, o = m c ... m c + m - 1. With the
// stride s, the dilation d and the margin e above and on the left, tap (i, j) of output pixel (n, p, q) sees the pixel
//
//   X(p, q, i, j) = (p s + i d - e, q s + j d - e), or zeros outside of the image.
//
// Channels are counted in vectors of N, which is 1 unless m is 1. In a `Geometry` each input channel is a group.
#include "columns.cuh"
#include "geometry.cuh"

// The index of the pixel that a tap sees, among those of all images; -1 outside of its image.
__device__ inline long long seen(unsigned int output, int i, int j, const Geometry& of) {
  unsigned int line = output / of.outputs.across, image = line / of.outputs.down;
  int row = int(line - image * of.outputs.down) * of.stride.down + i * of.dilation.down - of.margin.down;
  int column = int(output - line * of.outputs.across) * of.stride.across + j * of.dilation.across - of.margin.across;
  if (row < 0 || row >= of.size.down || column < 0 || column >= of.size.across) return -1;
  return (image * (long long)of.size.down + row) * of.size.across + column;
}

// y[n, p, q, o] = b[o] + Σ_ij x[n, X(p, q, i, j), o / m] w[i, j, o]; without bias, b is null.
template <typename T, int N>
__global__ void depthwise(const Channels<T, N>* x, const Channels<T, N>* weight, const Channels<T, N>* bias,
                          Channels<T, N>* y, long long outputs, Geometry of) {
  unsigned int channels = of.groups * of.channels, channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= channels) return;
  unsigned int step = gridDim.y * blockDim.y;
  for (unsigned int output = blockIdx.y * blockDim.y + threadIdx.y; output < outputs; output += step) {
    float total[N] = {};
    for (int i = 0; i < of.kernel.down; ++i)
      for (int j = 0; j < of.kernel.across; ++j) {
        long long pixel = seen(output, i, j, of);
        if (pixel < 0) continue;
        Channels<T, N> image = x[pixel * of.groups + channel / of.channels];
        Channels<T, N> filter = weight[(i * of.kernel.across + j) * (long long)channels + channel];
        for (int n = 0; n < N; ++n) total[n] += image[n] * filter[n];
      }
    Channels<T, N> result;
    for (int n = 0; n < N; ++n) result.each[n] = T(bias ? total[n] + bias[channel][n] : total[n]);
    y[output * (long long)channels + channel] = result;
  }
}

// dx[n, y, x, c] = Σ dy[n, p, q, o] w[i, j, o] over the outputs o of c and the taps through which (p, q) saw (y, x).
template <typename T, int N>
__global__ void image_gradient(const Channels<T, N>* dy, const Channels<T, N>* weight, Channels<T, N>* dx,
                               long long pixels, Geometry of) {
  unsigned int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= of.groups) return;
  long long channels = of.groups * of.channels;
  unsigned int step = gridDim.y * blockDim.y;
  for (unsigned int pixel = blockIdx.y * blockDim.y + threadIdx.y; pixel < pixels; pixel += step) {
    unsigned int line = pixel / of.size.across, image = line / of.size.down;
    int row = int(line - image * of.size.down) + of.margin.down;
    int column = int(pixel - line * of.size.across) + of.margin.across;
    float total[N] = {};
    for (int i = 0; i < of.kernel.down; ++i) {
      int y = row - i * of.dilation.down, p = y / of.stride.down;
      if (y < 0 || p * of.stride.down != y || p >= of.outputs.down) continue;
      for (int j = 0; j < of.kernel.across; ++j) {
        int x = column - j * of.dilation.across, q = x / of.stride.across;
        if (x < 0 || q * of.stride.across != x || q >= of.outputs.across) continue;
        long long output = (image * (long long)of.outputs.down + p) * of.outputs.across + q;
        for (int m = 0; m < of.channels; ++m) {
          unsigned int o = channel * of.channels + m;
          Channels<T, N> slope = dy[output * channels + o];
          Channels<T, N> filter = weight[(i * of.kernel.across + j) * channels + o];
          for (int n = 0; n < N; ++n) total[n] += slope[n] * filter[n];
        }
      }
    }
    Channels<T, N> sums;
    for (int n = 0; n < N; ++n) sums.each[n] = T(total[n]);
    dx[pixel * (long long)of.groups + channel] = sums;
  }
}

// dw[i, j, o] = Σ_npq dy[n, p, q, o] x[n, X(p, q, i, j), o / m]: the sums over the rows (n, p, q) of a matrix with a
// column for each tap and output. Neighbouring blocks have other taps of the same pixels, which are read from memory
// once, and then from the cache.
template <typename T, int N>
__global__ void weight_gradient(const Channels<T, N>* x, const Channels<T, N>* dy, float* dweight, float* workspace,
                                unsigned int* counters, long long outputs, long long sums, Geometry of) {
  Column<N> column(outputs, sums);
  long long channels = of.groups * of.channels;
  unsigned int tap = column.channel / (channels * N), channel = column.channel / N - tap * channels;
  int i = tap / of.kernel.across, j = tap % of.kernel.across;
  float total[N] = {};
  for (long long first = column.first_row; first < outputs; first += 8 * column.stride) {
    float part[N] = {};
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      long long output = first + k * column.stride, pixel = output < outputs ? seen(output, i, j, of) : -1;
      if (pixel < 0) continue;
      Channels<T, N> slope = dy[output * channels + channel];
      Channels<T, N> image = x[pixel * of.groups + channel / of.channels];
      for (int n = 0; n < N; ++n) part[n] += slope[n] * image[n];
    }
    for (int n = 0; n < N; ++n) total[n] += part[n];
  }
  if (merge_rows(total, column, workspace, counters))
    for (int n = 0; n < N; ++n) dweight[column.channel + n] = total[n];
}
