"""NVIDIA's compiler for CUDA C++ at run time, which needs no device."""

import ctypes
from importlib import metadata
from pathlib import Path

import pytest

LIBRARY, HEADERS = "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12"


class Nvrtc:
    """NVRTC from its wheel; the test is skipped where that is not installed."""

    def __init__(self):
        found = {name: _files(name) for name in (LIBRARY, HEADERS)}
        # It loads its built-in headers by their bare name, so these come first.
        libraries = [_named(found[LIBRARY], start) for start in ("libnvrtc-builtins.so", "libnvrtc.so")]
        header = _named(found[HEADERS], "cuda_fp16.h")
        if header is None or None in libraries:
            pytest.skip(f"no NVRTC to compile with: on Linux, pip install {LIBRARY} {HEADERS}")
        *_, self._library = [ctypes.CDLL(str(library)) for library in libraries]
        self.include = header.parent

    def compile(self, source, options, expressions):
        """Return the names that the expressions got; raise AssertionError, with the compiler's words, if it fails."""
        program, library = ctypes.c_void_p(), self._library
        assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None) == 0
        for each in expressions:
            assert library.nvrtcAddNameExpression(program, each.encode()) == 0
        given = [option.encode() for option in (*options, f"-I{self.include}")]
        code = library.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*given))
        try:
            assert code == 0, self._log(program)
            return [self._lowered(program, each) for each in expressions]
        finally:
            library.nvrtcDestroyProgram(ctypes.byref(program))

    def _log(self, program):
        size = ctypes.c_size_t()
        self._library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._library.nvrtcGetProgramLog(program, text)
        return text.value.decode(errors="replace")

    def _lowered(self, program, expression):
        name = ctypes.c_char_p()
        assert self._library.nvrtcGetLoweredName(program, expression.encode(), ctypes.byref(name)) == 0, expression
        return name.value.decode()


def _named(files, start):
    return next((path for path in files if path.name.startswith(start)), None)


def _files(distribution):
    try:
        return [Path(path.locate()) for path in metadata.files(distribution) or []]
    except metadata.PackageNotFoundError:
        return []
