// Activations: y = f(x) and, for the pullback, dx = f'(x) dy.
#pragma once

struct Identity {
  static __device__ float value(float x) { return x; }
  static __device__ float pullback(float x, float dy) { return dy; }
};

// y = max(x, 0), and NaN stays NaN; dx = [x > 0] dy. Since x > 0 where y > 0, y serves the pullback as well as x.
struct Relu {
  static __device__ float value(float x) { return x <= 0.0f ? 0.0f : x; }
  static __device__ float pullback(float x, float dy) { return x > 0.0f ? dy : 0.0f; }
};

// σ(x) = 1 / (1 + e⁻ˣ). Where e⁻ˣ is infinite, σ(x) is 0.
__device__ inline float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

// y = x σ(x); dx = σ(x) (1 + x (1 - σ(x))) dy.
struct Silu {
  static __device__ float value(float x) { return x * logistic(x); }
  static __device__ float pullback(float x, float dy) {
    float gate = logistic(x);
    return gate * (1.0f + x * (1.0f - gate)) * dy;
  }
};

// y = x Φ(x); dx = (Φ(x) + x φ(x)) dy, with the normal distribution's Φ and φ(x) = e^(-x²/2) / √(2π).
struct Gelu {
  static __device__ float value(float x) { return x * normcdff(x); }
  static __device__ float pullback(float x, float dy) {
    float density = 0.3989422804f * expf(-0.5f * x * x);
    return (normcdff(x) + x * density) * dy;
  }
};
