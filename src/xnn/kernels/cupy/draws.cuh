// Random numbers as in xnn.random: a hash of a number's position in a draw and of the draw's two keys.
#pragma once

// x ^= x >> 16;  x *= 0x21F0AAAD;  x ^= x >> 15;  x *= 0x735A2D97;  x ^= x >> 15
__device__ inline unsigned int mixed(unsigned long long position) {
  // Positions may have more than 32 bits, of which the first step takes in those that the others keep.
  unsigned int word = (unsigned int)(position ^ (position >> 16));
  word *= 0x21F0AAADu;
  word ^= word >> 15;
  word *= 0x735A2D97u;
  return word ^ (word >> 15);
}

// The word at a position, uniform in [0, 2**32):  mix(mix(i ^ key0) ^ key1)
__device__ inline unsigned int word_at(long long position, unsigned int key0, unsigned int key1) {
  return mixed(mixed((unsigned long long)position ^ key0) ^ key1);
}
