/* What main.c wants of the machine: words out, a clock, how much stack was used. */
#include <stdint.h>

void start(void);
void say(const char *text);
void say_number(uint32_t number);
uint32_t now(void);
/* Ticks since an earlier now(). */
uint32_t since(uint32_t before);
/* Ticks of a loop of four million instructions, to check the clock by. */
uint32_t loop_ticks(void);
/* Bytes of stack ever used. */
uint32_t stack_used(void);
void finish(void) __attribute__((noreturn));
void fail(const char *why) __attribute__((noreturn));
