"""File systems that lack something: a library, preloaded, whose calls fail as theirs do."""

import os
import pathlib
import shutil
import subprocess

import pytest

# The calls that are named in LACKING fail with the number in LACKING_ERRNO; `rename_over` is
# renaming onto a file that is there.
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int lacks(const char *call) {
    const char *list = getenv("LACKING"), *number = getenv("LACKING_ERRNO");
    size_t length = strlen(call);
    while (list && (list = strstr(list, call))) {
        if (list[length] == 0 || list[length] == ',') {
            errno = number ? atoi(number) : ENOSYS;
            return 1;
        }
        list += length;
    }
    return 0;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { return lacks("fsync") ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return lacks("fsync") ? -1 : NEXT(fdatasync)(fd); }
int flock(int fd, int what) { return lacks("flock") ? -1 : NEXT(flock)(fd, what); }
int link(const char *a, const char *b) { return lacks("link") ? -1 : NEXT(link)(a, b); }
int linkat(int d, const char *a, int e, const char *b, int f) {
    return lacks("link") ? -1 : NEXT(linkat)(d, a, e, b, f);
}
int rename(const char *a, const char *b) {
    struct stat there;
    if (lacks("rename")) return -1;
    if (stat(b, &there) == 0 && lacks("rename_over")) return -1;
    return NEXT(rename)(a, b);
}
"""


def lacking(folder: pathlib.Path, calls: str, code: int) -> dict[str, str]:
    """The environment of a process to which a file system lacks some calls.

    Args:
        folder: for the library.
        calls: of `fsync`, `flock`, `link`, `rename`, `rename_over`, separated by commas.
        code: the number of the error that they give.
    """
    library = compiled(folder, "lacking", SOURCE)
    return os.environ | {"LD_PRELOAD": str(library), "LACKING": calls, "LACKING_ERRNO": str(code)}


def compiled(folder: pathlib.Path, name: str, source: str) -> pathlib.Path:
    """A shared library made of C; the test is skipped where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc) for a preloaded library")
    code, library = folder / f"{name}.c", folder / f"{name}.so"
    code.write_text(source)
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", library, code, "-ldl"]
    subprocess.run(command, check=True)
    return library
