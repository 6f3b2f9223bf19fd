/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the explaining program notes on its way; in the attached ones all of it is gone before they run. */
#pragma once

#include "count.h"
#include "packet.h"

static __always_inline struct record *the_record(void)
{
	__u32 zero = 0;

	return dry_run ? bpf_map_lookup_elem(&record, &zero) : NULL;
}

/* The rule at a position was the first to match. */
static __always_inline void note_rule(__u32 position)
{
	struct record *r = the_record();

	if (r)
		r->rule = position + 1;
}

static __always_inline void note_choice(struct packet *p, enum chosen_by chosen_by)
{
	if (dry_run)
		p->chosen_by = chosen_by;
}

/* A connection was found for the packet, or for the error's: ended, if it is over. */
static __always_inline void note_found(const struct packet *p, bool ended)
{
	struct record *r = the_record();

	if (!r)
		return;
	r->word = p->word;
	r->slot = p->slot;
	r->table = p->table;
	r->ended = ended;
}

/* Connections that a server would have less by now, had the run not been a dry one: 0 or 1. */
static __always_inline __u32 retired_of(__u32 server, __u32 active)
{
	struct record *r = the_record();

	return r && r->retired_server == server + 1 && r->retired_active == active;
}

/* All that the packet holds when its way is decided. */
static __noinline int note_outcome(const struct packet *p, __u32 reason)
{
	struct record *r = the_record();

	if (!r)
		return 0;
	r->key = p->key;
	r->source_target = p->source_target;
	r->target = p->out.target;
	r->ifindex = p->out.ifindex;
	r->hash = p->hash;
	r->reason = reason;
	r->service = p->choice.service;
	r->server = p->choice.server;
	r->forward_hop = p->choice.forward_hop;
	r->last_hop = p->choice.last_hop;
	r->source_hop = p->source_hop;
	r->length = p->length;
	r->leg = p->leg_id;
	r->ip_proto = p->ip_proto;
	r->signals = p->signals;
	r->from_low = p->from_low;
	r->opening = p->opening;
	r->related = p->related;
	r->fragment = p->fragment;
	r->chosen_by = p->chosen_by;
	return 0;
}
