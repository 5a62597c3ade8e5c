#!/usr/bin/env bash
# Compiles every kernel to the PTX beside it, or into a folder given as the first argument. Needs clang 19 and no CUDA.
set -euo pipefail
cd "$(dirname "$0")/../src/ReadTwice.Kernels/Cuda"
to="${1:-.}"
for source in *.cu; do
  "${CLANG:-clang-19}" -x cuda --cuda-device-only --cuda-gpu-arch=sm_80 -nocudainc -nocudalib \
    -O3 -std=c++20 -ffp-contract=fast -Wall -Werror -S "$source" -o "$to/${source%.cu}.ptx"
done
