#include "columns.cuh"

// sums[c] = Σ x[r][c] over all rows r. A thread adds up eight rows, and those sums; then threads and blocks are added
// in pairs. So few numbers are added one by one, and the error grows slowly with their count.
template <typename T, int N>
__global__ void sum_rows(
    const T* x, float* sums, float* workspace, unsigned int* counters, long long rows, long long channels) {
  Column<N> column(rows, channels);
  float total[N] = {};
  for (long long row = column.first_row; row < rows; row += 8 * column.stride) {
    Channels<T, N> x_rows[8];
    column.read(x, row, x_rows);
#pragma unroll
    for (int n = 0; n < N; ++n) {
      float sum = 0.0f;
#pragma unroll
      for (int k = 0; k < 8; ++k) sum += x_rows[k][n];
      total[n] += sum;
    }
  }
  if (merge_rows(total, column, workspace, counters))
    for (int n = 0; n < N; ++n) sums[column.channel + n] = total[n];
}
