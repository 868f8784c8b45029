"""The tests: a folder for each of the package's, where files may have equal names."""
