/* A board that QEMU emulates: vectors, SysTick, words by semihosting.
 *
 * Under `-icount shift=0,sleep=off` an instruction is a nanosecond of the time in which SysTick counts. */
#include "board.h"

extern uint32_t __stack, __bss_start, __bss_end;
int main(void);
void reset(void);

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {&__stack, reset};

#define SYSTICK ((volatile uint32_t *)0xe000e010)
#define COPROCESSORS ((volatile uint32_t *)0xe000ed88)
#define PAINT 0x5a5aa5a5u

static uint32_t of_the_loop;

static int semihosting(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void reset(void)
{
    /* The floating-point unit, and Helium's registers with it. */
    *COPROCESSORS |= 0xf << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
    for (uint32_t *word = &__bss_start; word < &__bss_end; word++)
        *word = 0;
    main();
    finish();
}

void start(void)
{
    SYSTICK[1] = 0x00ffffff;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5;
    const uint32_t before = now();
    uint32_t n = 2000000;
    __asm__ volatile("1: subs %0, %0, #1\n bne 1b" : "+r"(n) : : "cc");
    of_the_loop = since(before);
    uint32_t here = 0;
    for (volatile uint32_t *word = &__bss_end; word < &here - 64; word++)
        *word = PAINT;
}

void say(const char *text) { semihosting(0x04, text); }

void say_number(uint32_t number)
{
    char digits[11], *at = digits + 10;
    *at = 0;
    do
        *--at = '0' + number % 10;
    while (number /= 10);
    say(at);
}

uint32_t now(void) { return SYSTICK[2]; }

uint32_t since(uint32_t before) { return (before - SYSTICK[2]) & 0x00ffffff; }

uint32_t loop_ticks(void) { return of_the_loop; }

uint32_t stack_used(void)
{
    volatile uint32_t *word = &__bss_end;
    while (*word == PAINT)
        word++;
    return (uint32_t)&__stack - (uint32_t)word;
}

void finish(void)
{
    semihosting(0x18, (void *)0x20026);
    for (;;) {
    }
}

void fail(const char *why)
{
    say("FAILED: ");
    say(why);
    finish();
}
