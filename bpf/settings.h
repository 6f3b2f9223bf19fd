/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the director sets before it loads the programs: constants to the verifier, which drops the code they exclude. */
#pragma once

#include "abi.h"

/* 1: explain. A program that only says what it would do: it writes to the map record, and nowhere else. */
const volatile __u32 dry_run = 0;
const volatile __u32 table_role = ROLE_ALONE;
/* 1: in front of a former version's program. */
const volatile __u32 taking_over = 0;
/* Of the main and of the next table. */
const volatile __u32 buckets = 1;
const volatile __u32 next_buckets = 1;
/* Connections that may be unassured, in all and of one service. */
const volatile __u32 quota_total = 1;
const volatile __u32 quota_service = 1;
/* Connections that the table was made for. */
const volatile __u32 promised = 1;
