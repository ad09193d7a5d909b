// SPDX-License-Identifier: MIT
// The first sector of the disk: loads the kernel that follows it to 64 KiB, enters 64-bit mode with the first GiB mapped to
// itself, lets programs use whatever vector registers this processor has, and jumps to the kernel.
// KERNEL_SECTORS is set by run_bochs.sh.

.code16
.globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    ljmp $0, $read
read:                           // at most 32 sectors a call to the BIOS
    movb %dl, drive
next_piece:
    movw sectors_left, %cx
    testw %cx, %cx
    jz loaded
    cmpw $32, %cx
    jbe 1f
    movw $32, %cx
1:  movw %cx, packet + 2
    subw %cx, sectors_left
    movb drive, %dl
    movw $packet, %si
    movb $0x42, %ah
    int $0x13
    jc failed
    movw packet + 2, %cx
    addw %cx, packet + 8        // next sector
    adcw $0, packet + 10
    shlw $5, %cx                // 512 bytes are 32 paragraphs
    addw %cx, packet + 6
    jmp next_piece
failed:
    movw $0xe9, %dx
    movb $'E', %al
    outb %al, %dx
    hlt

loaded:
    inb $0x92, %al              // address line 20
    orb $2, %al
    outb %al, $0x92
    lgdt gdt_register
    movw $0x1000, %di           // three tables at 0x1000, 0x2000, 0x3000; the last one maps pages of 2 MiB
    xorl %eax, %eax
    movw $3072, %cx
    cld
    rep stosl
    movl $0x2003, 0x1000
    movl $0x3003, 0x2000
    movl $0x83, %eax
    movw $0x3000, %di
    movw $512, %cx
1:  movl %eax, (%di)
    addl $0x200000, %eax
    addw $8, %di
    loop 1b
    movl $0x40620, %eax         // CR4: PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
    movl %eax, %cr4
    movl $0x1000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx      // EFER: long mode
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl $0x80000023, %eax      // CR0: PG, NE, MP, PE
    movl %eax, %cr0
    ljmpl $8, $long_mode

.code64
long_mode:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x80000, %esp
    fninit
    movl $0xd, %eax             // of x87, SSE, AVX and the three states of AVX-512 those that cpuid lists
    xorl %ecx, %ecx
    cpuid
    andl $0xe7, %eax
    xorl %ecx, %ecx
    xorl %edx, %edx
    xsetbv
    movl $0x10000, %eax
    call *%rax

drive:
    .byte 0
packet:                         // of the BIOS call: size, sectors, offset, segment, first sector
    .byte 16, 0
    .word 32, 0, 0x1000
    .quad 1
sectors_left:
    .word KERNEL_SECTORS
.balign 8
gdt:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_register:
    .word 23
    .long gdt
.org 510
.word 0xaa55
