#pragma once

#include <stdio.h>

/* The completion script for "bash", "zsh" or "fish". 0, or 1: no such shell. */
int completion_print(FILE *out, const char *shell);
