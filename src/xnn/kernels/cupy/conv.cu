// The columns of images, channels last: a row for each output pixel (n, p, q), holding what its window sees, for each
// group g of channels in turn. With the stride s, the dilation d and the margin m above and on the left,
//
//   C[(n, p, q), (g, i, j, c)] = x[n, p s + i d - m, q s + j d - m, g c/G + c], or 0 outside of the image.
//
// Channels are counted in vectors of N. A thread has one place in the rows and strides over these, so it finds out only
// once which tap and which channels it has.
#include "columns.cuh"
#include "geometry.cuh"

template <typename T, int N>
__global__ void im2col(const Channels<T, N>* x, Channels<T, N>* columns, long long pixels, Geometry of) {
  unsigned int taps = of.kernel.down * of.kernel.across, length = of.groups * taps * of.channels;
  unsigned int place = blockIdx.x * blockDim.x + threadIdx.x;
  if (place >= length) return;
  int tap = place / of.channels % taps, group = place / (taps * of.channels);
  int down = tap / of.kernel.across * of.dilation.down - of.margin.down;
  int across = tap % of.kernel.across * of.dilation.across - of.margin.across;
  const Channels<T, N>* from = x + group * of.channels + place % of.channels;
  unsigned int step = gridDim.y * blockDim.y;
  for (unsigned int pixel = blockIdx.y * blockDim.y + threadIdx.y; pixel < pixels; pixel += step) {
    unsigned int line = pixel / of.outputs.across, image = line / of.outputs.down;
    int row = int(line - image * of.outputs.down) * of.stride.down + down;
    int column = int(pixel - line * of.outputs.across) * of.stride.across + across;
    Channels<T, N> seen = {};
    if (row >= 0 && row < of.size.down && column >= 0 && column < of.size.across)
      seen = from[((image * (long long)of.size.down + row) * of.size.across + column) * of.groups * of.channels];
    columns[pixel * (long long)length + place] = seen;
  }
}

// The adjoint: dx[n, y, x, c] = Σ dC[(n, p, q), (g, i, j, c)] over the taps (i, j) through which an output pixel (p, q)
// saw the pixel (y, x), which is where y = p s + i d - m and x = q s + j d - m.
template <typename T, int N>
__global__ void col2im(const Channels<T, N>* columns, Channels<T, N>* dx, long long pixels, Geometry of) {
  unsigned int taps = of.kernel.down * of.kernel.across, length = of.groups * of.channels;
  unsigned int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= length) return;
  const Channels<T, N>* from = columns + channel / of.channels * taps * of.channels + channel % of.channels;
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
        Channels<T, N> piece = from[output * taps * length + (i * of.kernel.across + j) * of.channels];
        for (int n = 0; n < N; ++n) total[n] += piece[n];
      }
    }
    Channels<T, N> sums;
    for (int n = 0; n < N; ++n) sums.each[n] = T(total[n]);
    dx[pixel * (long long)length + channel] = sums;
  }
}
