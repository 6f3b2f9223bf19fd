/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything the kernel side shares with Python: limits, enums, structs. No logic.
 *
 * Python builds its numpy dtypes and enums from the BTF of the object made from this file, so a
 * name here is the name there. Addresses are in network order, IPv4 as ::ffff:a.b.c.d; times are
 * nanoseconds of CLOCK_MONOTONIC_COARSE.
 */
#pragma once

#include "published.h"
#include "told.h"
#include "tracked.h"
