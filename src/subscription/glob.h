/* Patterns over the paths of streams (Durable Streams protocol §6.2): segments divided by '/'; the segment "*" stands for any
 * one,
 * "**" for any number of them, none too; every other stands for itself. Time is at most the product of the two lengths. */
#pragma once

#include "base/slice.h"

bool glob_match(struct slice pattern, struct slice path);
