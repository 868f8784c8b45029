// The optimizers' update rules, as xnn.optim explains them: each number of each vector is read and written once, all
// runs of a step in one launch. g is the gradient, p the parameter; only runs that decay have a weight decay.
#include "common.cuh"
#include "tables.cuh"

// Calls update(position, decays) for each number of each run.
template <typename Update>
__device__ void for_each(const Run* runs, long long count, long long total, Update update) {
  for (long long i = first_index(); i < total; i += all_threads()) {
    const Run run = row_of(runs, count, i);
    update(run.start + (i - run.first), run.decays != 0);
  }
}

// p <- p - lr (g + decay p)
__global__ void plain(
    const Run* runs, const float* gradient, float* parameter, long long count, long long total, float lr, float decay) {
  for_each(runs, count, total, [=](long long at, bool decays) {
    const float p = parameter[at], d = gradient[at] + (decays ? decay : 0.0f) * p;
    parameter[at] = p - lr * d;
  });
}

// d = g + decay p,  v <- momentum v + d,  p <- p - lr v;  Nesterov's: p <- p - lr (d + momentum v)
template <bool nesterov>
__global__ void with_momentum(
    const Run* runs, const float* gradient, float* parameter, float* velocity, long long count, long long total,
    float lr, float momentum, float decay) {
  for_each(runs, count, total, [=](long long at, bool decays) {
    const float p = parameter[at], d = gradient[at] + (decays ? decay : 0.0f) * p;
    const float v = momentum * velocity[at] + d;
    parameter[at] = p - lr * (nesterov ? d + momentum * v : v);
    velocity[at] = v;
  });
}

// d = g + coupled p,  m <- beta1 m + (1 - beta1) d,  s <- beta2 s + (1 - beta2) d^2
// p <- kept p - step m / (sqrt(s) + eps), where step and eps hold both corrections
__global__ void adam(
    const Run* runs, const float* gradient, float* parameter, float* first, float* second, long long count,
    long long total, float beta1, float rest1, float beta2, float rest2, float eps, float step, float coupled,
    float kept) {
  for_each(runs, count, total, [=](long long at, bool decays) {
    const float p = parameter[at], d = gradient[at] + (decays ? coupled : 0.0f) * p;
    const float m = beta1 * first[at] + rest1 * d;
    const float s = beta2 * second[at] + rest2 * (d * d);
    parameter[at] = (decays ? kept : 1.0f) * p - step * (m / (sqrtf(s) + eps));
    first[at] = m;
    second[at] = s;
  });
}

// d = g + decay p,  s <- alpha s + (1 - alpha) d^2,  v <- momentum v + d / (sqrt(s) + eps),  p <- p - lr v
// Without a velocity, v is d / (sqrt(s) + eps).
__global__ void rmsprop(
    const Run* runs, const float* gradient, float* parameter, float* average, float* velocity, long long count,
    long long total, float lr, float alpha, float rest, float eps, float momentum, float decay) {
  for_each(runs, count, total, [=](long long at, bool decays) {
    const float p = parameter[at], d = gradient[at] + (decays ? decay : 0.0f) * p;
    const float s = alpha * average[at] + rest * (d * d);
    float v = d / (sqrtf(s) + eps);
    if (velocity) {
      v += momentum * velocity[at];
      velocity[at] = v;
    }
    parameter[at] = p - lr * v;
    average[at] = s;
  });
}
