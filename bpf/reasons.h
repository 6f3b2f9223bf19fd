/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reasons: for every exit of the data plane, and for what is counted beside it. */
#pragma once

#include "kernel.h"

/*
 * Why a packet left the data plane the way it did. The order of the groups is the verdict:
 * forwarded, then to the kernel, then dropped. Python's sentences are keyed by these names.
 */
enum reason {
	FORWARDED_REQUEST,
	FORWARDED_RESPONSE,
	FORWARDED_OPENING,
	FORWARDED_MIDSTREAM,
	FORWARDED_RELATED,
	FORWARDED_STRAY,
	FORWARDED_UNTRACKED,
	FORWARDED_RESET,
	KERNEL_FIRST, /* not a reason: the kernel group starts here */
	KERNEL_TC,
	KERNEL_NOT_IP,
	KERNEL_TRUNCATED,
	KERNEL_BAD_HEADER,
	KERNEL_VLAN,
	KERNEL_IPV6,
	KERNEL_NO_LEG,
	KERNEL_MULTICAST,
	KERNEL_FOREIGN_MAC,
	KERNEL_OWN_SOURCE,
	KERNEL_MARTIAN,
	KERNEL_FRAGMENT,
	KERNEL_PROTOCOL,
	KERNEL_PASS_RULE,
	KERNEL_LOCAL,
	KERNEL_NO_RULE,
	KERNEL_EMPTY,
	KERNEL_TOO_BIG,
	KERNEL_BYPASS,
	DROP_FIRST, /* not a reason: the drop group starts here */
	DROP_EMPTY,
	DROP_LOOP,
	DROP_NO_HOP,
	DROP_LEG_DOWN,
	DROP_CONTENDED,
	DROP_MIDSTREAM,
	DROP_DEAD,
	EVENT_FIRST, /* not a reason: what follows is counted beside a verdict */
	EVENT_TABLE_FULL,
	EVENT_QUOTA,
	EVENT_CROWDED,
	EVENT_REPLACED,
	EVENT_HOPS_FULL,
	EVENT_TEMPLATES_FULL,
	EVENT_CONTENDED,
	EVENT_HOP_LEARNED,
	EVENT_LAST_HOP_MOVED,
	EVENT_HOP_MOVE_DENIED,
	EVENT_ASYMMETRIC,
	EVENT_EXPIRED,
	EVENT_REUSED,
	EVENT_SERVER_GONE,
	EVENT_MOVED,
	EVENT_XDP_REDIRECT_ERROR,
	REASONS,
};

struct counters {
	__u64 value[REASONS];
};
