"""The benchmarks run and print what they promise; how fast anything is, is not tested."""
