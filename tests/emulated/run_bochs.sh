#!/bin/sh
# Runs a static program on a processor that Bochs plays: builds a disk with the boot sector, the kernel beside this script
# and the program, boots it, prints what the program prints and exits as it does. Exit 77 (skipped) without Bochs.
#   sh run_bochs.sh <Bochs' name of a processor> <seconds> [NAME=value ...] <absolute path of a program> [argument ...]
# The limits of the kernel are in kernel.cpp; the program may have 30 MB.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
model=$1 seconds=$2
shift 2
for tool in bochs script g++ ld objcopy python3; do
    command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
bochs --help cpu 2>&1 | grep -qx "$model" || { echo "skipped: this Bochs does not know $model"; exit 77; }
for rom in BIOS-bochs-latest VGABIOS-lgpl-latest; do
    [ -e /usr/share/bochs/$rom ] || { echo "skipped: Bochs' $rom is not installed"; exit 77; }
done
for argument; do
    case $argument in *=*) ;; *) break ;; esac
done
[ -n "$argument" ] || { echo "skipped: no static program could be linked"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
g++ -std=c++20 -O2 -Wall -Wextra -Werror -ffreestanding -fno-exceptions -fno-rtti -fno-stack-protector -fno-pie -mno-red-zone \
    -mgeneral-regs-only -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -c "$here/kernel.cpp"
ld -n -T "$here/kernel.ld" kernel.o -o kernel.elf 2>ld.log || { cat ld.log; exit 1; }  # it warns of writable code
objcopy -O binary --set-section-flags .data=alloc,load,contents kernel.elf kernel.bin
g++ -DKERNEL_SECTORS=$((($(wc -c <kernel.bin) + 511) / 512)) -c "$here/boot.S" -o boot.o
ld -Ttext=0x7c00 --oformat binary boot.o -o boot.bin

# Boot sector and kernel in 64 sectors, a header of 8 (see disk_header), the program, zeros.
cylinders=64
python3 - $((cylinders * 16 * 63 * 512)) "$@" >disk.img <<'PYTHON'
import struct, sys
size, rest = int(sys.argv[1]), sys.argv[2:]
environment = []
while "=" in rest[0]:
    environment.append(rest.pop(0))
program = open(rest[0], "rb").read()
strings = b"".join(s.encode() + b"\0" for s in rest + environment)
header = struct.pack("<III", len(program), len(rest), len(environment)) + strings
boot = open("boot.bin", "rb").read() + open("kernel.bin", "rb").read()
image = boot.ljust(64 * 512, b"\0") + header.ljust(8 * 512, b"\0") + program
if len(boot) > 64 * 512 or len(header) > 8 * 512 or len(image) > size:
    sys.exit("does not fit the disk")
sys.stdout.buffer.write(image.ljust(size, b"\0"))
PYTHON

cat >bochsrc <<END
cpu: model=$model, count=1, ips=50000000, reset_on_triple_fault=0
memory: guest=1024, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=disk, path=disk.img, mode=flat, cylinders=$cylinders, heads=16, spt=63
boot: disk
display_library: term
port_e9_hack: enabled=1
plugin_ctrl: biosdev=1, speaker=0, parallel=0
clock: sync=none
log: bochs.log
panic: action=fatal
END
echo c >commands  # Debian's Bochs is the one with a debugger: continue
# Its display wants a terminal. Its own exit status says nothing.
timeout "$seconds" script -qefc "stty rows 50 cols 132; TERM=xterm bochs -q -f bochsrc -rc commands" output \
    >/dev/null </dev/null || true

# What the program wrote stands between the display's control sequences.
python3 - <<'PYTHON'
import re, sys
text = open("output", "rb").read().decode("latin-1")
text = re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[()][A-Z0-9]|[=>])", "", text).replace("\r", "")
print(text)
end = re.search(r"@@EXIT ([0-9a-f]{16})", text)
sys.exit(int(end[1], 16) & 255 if end else 1)
PYTHON
