/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the packet is while it is looked at: the 512 bytes of stack are too few for it and the longest chain of calls.
 * Packets come in softirqs, of which a CPU runs one at a time. The map is the object's own and not pinned, so that a program
 * that explains does not share it with those that forward.
 */
#pragma once

#include "packet.h"

#define SCRATCH_LENGTH 1288

enum scratch_use { SCRATCH_PACKET, SCRATCH_KEPT, SCRATCH_ERROR, SCRATCH_USES };

struct scratch {
	__u64 words[SCRATCH_LENGTH / 8];
};

/* 0 -> the packet in work, 1 -> what is needed of it after a clone was sent, 2 -> an ICMP error that is being made. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct scratch);
	__uint(max_entries, SCRATCH_USES);
} scratch SEC(".maps");

static __always_inline void *scratch_at(__u32 index)
{
	return bpf_map_lookup_elem(&scratch, &index);
}

static __always_inline struct packet *fresh_packet(enum entry entry)
{
	struct packet *p = scratch_at(SCRATCH_PACKET);

	if (!p)
		return NULL;
	__builtin_memset(p, 0, sizeof(*p));
	p->entry = entry;
	p->choice.service = SERVICE_NONE;
	p->choice.server = SERVER_NONE;
	return p;
}

/*
 * A copy that outlasts the sending of a clone, which may meet this program on another leg before it returns. What is sent so
 * is a RST, which is not answered, and so not kept.
 */
static __always_inline struct packet *keep_packet(const struct packet *p)
{
	struct packet *kept = scratch_at(SCRATCH_KEPT);

	if (kept)
		*kept = *p;
	return kept;
}
