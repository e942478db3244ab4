# SPDX-License-Identifier: BSD-3-Clause
# What .ci/run needs to make and test a wheel for a Python that is not this machine's: that of another libc, or of
# another processor. Sourced by it.

# An apt of its own in a folder, with the machine's sources and the options that follow: no list and no package of the
# machine's changes, and root is not needed.
own_apt() { # FOLDER KIND OPTION... : KIND is deb or deb-src
  local folder=$1 kind=$2 list
  shift 2
  mkdir -p "$folder"/{lists,cache}/partial "$folder/cache/archives/partial" "$folder/sources"
  touch "$folder/status"
  for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
    [[ -f $list ]] || continue
    sed -E "/^Types:/s/.*/Types: $kind/; s/^deb /$kind /; /^deb-src /{/^$kind /!d}" "$list" > "$folder/sources/${list##*/}"
  done
  own=(-o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o "Dir::State::status=$folder/status"
    -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$folder/sources" -o APT::Sandbox::User= "$@")
  apt-get "${own[@]}" update -qq
}

# Wheels of the package index for another platform, installed into a folder.
install_for() { # FOLDER "PLATFORM ..." REQUIREMENT...
  local folder=$1 platforms=$2 platform options=()
  shift 2
  for platform in $platforms; do options+=(--platform "$platform"); done
  pip install -q --target "$folder" "${options[@]}" --python-version 3.13 --implementation cp --only-binary=:all: "$@"
}

# The module in a wheel of the source distribution, by a Python that runs here: PYTHON FOLDER REQUIREMENTS [DEFINITION...],
# in which a definition is NAME=VALUE of CMake. The wheel is in FOLDER/built, the objects are in FOLDER/build.
wheel_for() {
  local foreign=$1 folder=$2 requirements=$3
  shift 3
  mkdir -p "$folder/source"
  tar -xzf "$work"/dist/*.tar.gz -C "$folder/source" --strip-components=1
  (cd "$folder/source"
    PYTHONPATH=$requirements SKBUILD_BUILD_DIR="$folder/build" CMAKE_GENERATOR=Ninja "$foreign" - "$folder/built" "$@" <<'PYTHON'
import sys
from scikit_build_core.build import build_wheel
folder, *definitions = sys.argv[1:]
build_wheel(folder, {f"cmake.define.{name}": value for name, value in (d.split("=", 1) for d in definitions)})
PYTHON
  ) > "$folder/wheel.log" 2>&1 || { tail -n 40 "$folder/wheel.log"; return 1; }
}

# CPython for musl: FOLDER/python, from Debian's source, with zlib and libffi, by musl's wrapper of gcc. It is neither
# optimised nor installed, since that takes more time than to run it. Its threads have stacks of 1 MiB, as Alpine's
# have; those of other threads are musl's, 128 KiB.
musl_python() {
  local folder=$1 package
  mkdir -p "$folder"/{sources,include,lib}
  own_apt "$folder/apt" deb-src
  for package in python3.13 zlib libffi; do
    (cd "$folder/sources" && apt-get "${own[@]}" source -qq --only-source --tar-only $package) || return
    mkdir "$folder/sources/$package"
    tar -xf "$folder"/sources/"$package"_*.orig.tar.?z -C "$folder/sources/$package" --strip-components=1 || return
  done
  (cd "$folder/sources/zlib" && cp zlib.h zconf.h "$folder/include" && rm -f gz*.c \
    && musl-gcc -O1 -fPIC -w -c ./*.c && ar rc "$folder/lib/libz.a" ./*.o) || return
  # The source of libffi has no configure script; what it would find for this processor and a compiler of GNU:
  (cd "$folder/sources/libffi" && cp src/x86/ffitarget.h "$folder/include" \
    && sed -E 's/@TARGET@/X86_64/; s/@HAVE_LONG_DOUBLE@/1/; s/@[A-Z_]+@/0/' include/ffi.h.in > "$folder/include/ffi.h" \
    && cat > fficonfig.h <<'HEADER' \
    && musl-gcc -O1 -fPIC -w -I. -Iinclude "-I$folder/include" -c src/{prep_cif,types,raw_api,java_raw_api,closures,tramp}.c \
      src/x86/{ffi64.c,unix64.S,ffiw64.c,win64.S} && ar rc "$folder/lib/libffi.a" ./*.o) || return
#define _GNU_SOURCE 1
#define STDC_HEADERS 1
#define HAVE_ALLOCA_H 1
#define HAVE_MEMFD_CREATE 1
#define HAVE_LONG_DOUBLE 1
#define SIZEOF_LONG_DOUBLE 16
#define SIZEOF_SIZE_T 8
#define EH_FRAME_FLAGS "a"
#define HAVE_AS_X86_PCREL 1
#define HAVE_AS_X86_64_UNWIND_SECTION_TYPE 1
#define HAVE_HIDDEN_VISIBILITY_ATTRIBUTE 1
#define FFI_MMAP_EXEC_WRIT 1
#ifdef LIBFFI_ASM
#define FFI_HIDDEN(name) .hidden name
#else
#define FFI_HIDDEN __attribute__((visibility("hidden")))
#endif
HEADER
  # Debian's gcc names the libc of the machine where configure asks for that of its output.
  printf '#!/bin/sh\n[ "$1" = --print-multiarch ] || exec musl-gcc "$@"\n' > "$folder/cc"
  chmod +x "$folder/cc"
  cd "$folder/sources/python3.13"
  CC="$folder/cc" OPT=-DNDEBUG CFLAGS="-O0 -w -DTHREAD_STACK_SIZE=0x100000" PKG_CONFIG=/bin/false \
    LIBFFI_CFLAGS="-I$folder/include" LIBFFI_LIBS="-L$folder/lib -lffi" \
    ZLIB_CFLAGS="-I$folder/include" ZLIB_LIBS="-L$folder/lib -lz" \
    ./configure --build=x86_64-pc-linux-musl --disable-test-modules --with-ensurepip=no --without-readline || return
  make -j "${CMAKE_BUILD_PARALLEL_LEVEL:-2}" && cp pyconfig.h Include || return
  ln -s "$PWD/python" "$folder/python"
  cd "$root"
}

# Debian's Python for AArch64, run by qemu: FOLDER/python. Its own processes are run by qemu, too.
arm_python() {
  local folder=$1 system="$1/system" package
  mkdir -p "$folder/debs" "$system/usr/lib"
  ln -s usr/lib "$system/lib"
  own_apt "$folder/apt" deb -o APT::Architecture=arm64 -o APT::Architectures=arm64
  apt-get "${own[@]}" install -qq --yes --download-only --no-install-recommends python3.13 libstdc++6 || return
  (cd "$folder/apt/cache/archives" && apt-get "${own[@]}" download -qq libpython3.13-dev) || return
  for package in "$folder"/apt/cache/archives/*.deb; do dpkg -x "$package" "$system" || return; done
  printf '#!/bin/sh\nexec qemu-aarch64 -L %s %s/usr/bin/python3.13 "$@"\n' "$system" "$system" > "$folder/python"
  chmod +x "$folder/python"
  rm -f "$system/usr/lib/python3.13/sitecustomize.py"
  echo "import sys; sys.executable = '$folder/python'" > "$system/usr/lib/python3.13/sitecustomize.py"
  "$folder/python" -VV
}
