/* This machine in place of a board: no clock and no stack to tell of. */
#include <stdio.h>
#include <stdlib.h>

#include "board.h"

void start(void) {}
void say(const char *text) { fputs(text, stdout); }
void say_number(uint32_t number) { printf("%u", number); }
uint32_t now(void) { return 0; }
uint32_t since(uint32_t before) { return before; }
uint32_t loop_ticks(void) { return 0; }
uint32_t stack_used(void) { return 0; }
void finish(void) { exit(0); }

void fail(const char *why)
{
    printf("FAILED: %s", why);
    exit(1);
}
