/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting: every exit and every remarkable event, by reason. */
#pragma once

#include "maps.h"
#include "settings.h"

static __always_inline void count_by(__u32 reason, __u64 by)
{
	__u32 zero = 0;
	struct counters *counters = bpf_map_lookup_elem(&reasons, &zero);

	if (dry_run)
		return;
	OPAQUE(reason);
	if (likely(counters) && reason < REASONS)
		counters->value[reason] += by;
}

static __always_inline void count(__u32 reason)
{
	count_by(reason, 1);
}
