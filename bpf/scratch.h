/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the packet is while it is looked at: the 512 bytes of stack are too few for it and the longest chain of calls.
 * Packets come in softirqs, of which a CPU runs one at a time. The map is the object's own and not pinned, so that a program
 * that explains does not share it with those that forward.
 */
#pragma once

#include "packet.h"

/* 0 -> the packet in work. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct packet);
	__uint(max_entries, 1);
} scratch SEC(".maps");

static __always_inline struct packet *fresh_packet(enum entry entry)
{
	__u32 zero = 0;
	struct packet *p = bpf_map_lookup_elem(&scratch, &zero);

	if (!p)
		return NULL;
	__builtin_memset(p, 0, sizeof(*p));
	p->entry = entry;
	p->choice.service = SERVICE_NONE;
	p->choice.server = SERVER_NONE;
	return p;
}
