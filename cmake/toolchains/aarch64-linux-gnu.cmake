# Debian's cross compiler for 64-bit Arm; what it builds runs under qemu. QUELL_QEMU_CPU chooses the processor:
# max (dot products and i8mm), cortex-a76 (dot products), cortex-a53 (neither).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)

set(QUELL_QEMU_CPU max CACHE STRING "The processor that qemu plays")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu ${QUELL_QEMU_CPU} -L /usr/aarch64-linux-gnu)
