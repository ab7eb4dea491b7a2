# The whole guest of the tests in one boot sector: real mode, no operating system, up a tenth of a second after power on.
# It says "XENIOS GUEST UP" on COM1, obeys the ACPI power button, and obeys one-letter commands: the first one is a byte
# of the image (FIRST_COMMAND, offset 508), later ones come in on COM1.
#   c crash (the pvpanic port)   i ignore the power button from now on   q power off   r reset
#   w write one sector of the boot disk and say how it went
# Assemble (only after a change; the tests ship the bytes in guest_image.py, and test_private_host.py compares them):
#   as --32 -o guest.o guest_image.S && ld -m elf_i386 -Ttext 0x7c00 -e start --oformat binary -o guest.bin guest.o

.set COM1_DATA, 0x3f8
.set COM1_LINE_STATUS, 0x3fd          # bit 0: a byte has come in
.set PVPANIC, 0x505
.set PM1_STATUS, 0x600                # bit 8: the power button was pressed; written back to clear it
.set PM1_ENABLE, 0x602
.set PM1_CONTROL, 0x604               # bit 13: go to sleep; bits 10..12: how deep, 0 is S5, off
.set RESET_CONTROL, 0xcf9
.set POWER_BUTTON, 0x0100

        .code16
        .globl start
start:
        cld
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $start, %sp           # the stack grows down from below this code
        movb    %dl, boot_drive
        movw    $PM1_ENABLE, %dx
        movw    $POWER_BUTTON, %ax
        outw    %ax, %dx
        movw    $up, %si
        call    say
        movb    first_command, %al
        call    obey
idle:
        sti
        hlt                           # the BIOS timer wakes this 18 times a second
        movw    $PM1_STATUS, %dx
        inw     %dx, %ax
        testw   $POWER_BUTTON, %ax
        jz      listen
        outw    %ax, %dx
        testb   $1, deaf
        jz      power_off
listen:
        movw    $COM1_LINE_STATUS, %dx
        inb     %dx, %al
        testb   $1, %al
        jz      idle
        movw    $COM1_DATA, %dx
        inb     %dx, %al
        call    obey
        jmp     idle

power_off:
        movw    $down, %si
        call    say
        movw    $PM1_CONTROL, %dx
        movw    $0x2000, %ax
        outw    %ax, %dx
stuck:  hlt
        jmp     stuck

# Obey the command in %al; any other letter does nothing.
obey:
        cmpb    $'q', %al
        je      power_off
        cmpb    $'i', %al
        jne     1f
        movb    $1, deaf
        ret
1:      cmpb    $'c', %al
        jne     2f
        movw    $PVPANIC, %dx
        movb    $1, %al
        outb    %al, %dx
        ret
2:      cmpb    $'r', %al
        jne     3f
        movw    $RESET_CONTROL, %dx
        movb    $6, %al
        outb    %al, %dx
        ret
3:      cmpb    $'w', %al
        jne     5f
        movb    $0x43, %ah            # BIOS: extended write, without verify
        xorb    %al, %al
        movb    boot_drive, %dl
        movw    $write_request, %si
        int     $0x13
        movw    $written, %si
        jnc     4f
        movw    $not_written, %si
4:      call    say
5:      ret

# Send the text at %si, ended by a zero byte, to COM1.
say:
        movw    $COM1_DATA, %dx
6:      lodsb
        testb   %al, %al
        jz      7f
        outb    %al, %dx
        jmp     6b
7:      ret

up:             .asciz "XENIOS GUEST UP\r\n"
down:           .asciz "XENIOS GUEST DOWN\r\n"
written:        .asciz "WRITTEN\r\n"
not_written:    .asciz "NOT WRITTEN\r\n"
write_request:                        # disk address packet of INT 13h
        .byte   16, 0
        .word   1                     # sectors
        .word   start, 0              # from here
        .quad   1536                  # to this sector of the 2048 that the smallest image has
boot_drive:     .byte 0
deaf:           .byte 0

        .org    508
first_command:  .byte 0
        .org    510
        .word   0xaa55
