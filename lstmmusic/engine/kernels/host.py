"""Name the kernels, and describe this machine's CPU to them and to LLVM."""

import llvmlite.binding as llvm
import numpy as np

# Groups of kernels, each built, tested and registered as a whole.
KERNELS = {
    "products": ("roll_dot", "roll_outer", "pack", "pack_transposed", "packed_dot"),
    "joint": ("joint_dot", "joint_outer", "joint_draw"),
}

# Bytes of a vector, vectors beside one another, and rows at once, for which
# `vectors.multiply_rows` keeps sums: in 12 of 16 registers with AVX, in 16 of 32 with
# AVX-512.
HAS_AVX512 = llvm.get_host_cpu_features().get("avx512f", False)
VECTOR, VECTORS, ROWS = (64, 2, 8) if HAS_AVX512 else (32, 3, 4)
UNITS = 4  # vectors of units at once in `vectors.outer_notes`, with as many sums


def columns_of_block(dtype):
    """Return how many columns of a matrix stand together for `code.packed_dot`."""
    return VECTORS * VECTOR // np.dtype(dtype).itemsize


def lanes(dtype):
    """Return how many numbers a vector holds."""
    return VECTOR // np.dtype(dtype).itemsize


def host():
    """Return LLVM's description of this machine, for code that is linked here."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )
