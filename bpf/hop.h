/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hops: where frames go. The auto last hop is made of these: a connection remembers the id of the
 * hop its requests came from, and one write to the hop moves every connection along.
 */
#pragma once

#include "leg.h"

/* Not hops: one that a leg does not learn, and the one that would be made, for who only explains. */
#define HOP_DENIED MAX_HOPS
#define HOP_UNMADE (MAX_HOPS + 1)

/* Hops that packets may teach the director on one leg; beyond it connections have no entry. */
#define LEARNED_PER_LEG 16384

static __always_inline struct hop *hop_by_id(__u32 id)
{
	return bpf_map_lookup_elem(&hops, &id);
}

/* Id of the hop a frame came from, 0 if that is not one yet. */
static __always_inline __u32 known_source_hop(const struct packet *p)
{
	__u64 target = p->source_target;
	__u32 *id = bpf_map_lookup_elem(&hop_index, &target);

	return id ? *id : 0;
}

/* An id nobody uses, 0 if there is none. */
static __always_inline __u32 take_hop_id(void)
{
	__u32 zero = 0, id = 0;
	struct live *state = bpf_map_lookup_elem(&live, &zero);

	if (!state)
		return 0;
	if (READ_ONCE(state->next_hop) < FIRST_DIRECTOR_HOP) {
		id = __sync_fetch_and_add(&state->next_hop, 1);
		if (id > 0 && id < FIRST_DIRECTOR_HOP)
			return id;
	}
	if (bpf_map_pop_elem(&free_hops, &id))
		return 0;
	return id;
}

/* How far a program is that takes over. */
static __always_inline __u32 takeover_phase(void)
{
	__u32 zero = 0;
	struct live *state = taking_over ? bpf_map_lookup_elem(&live, &zero) : NULL;

	return state ? READ_ONCE(state->takeover) : TAKEOVER_NONE;
}

/* Whether take_hop_id() would find one. */
static __always_inline bool hop_ids_left(void)
{
	__u32 zero = 0, id;
	struct live *state = bpf_map_lookup_elem(&live, &zero);

	return state && (READ_ONCE(state->next_hop) < FIRST_DIRECTOR_HOP || !bpf_map_peek_elem(&free_hops, &id));
}

/* Make a hop of a target. 0 if there is no room. Two packets that race end with one hop. */
__noinline __u32 learn_hop(__u64 target)
{
	struct leg *leg = leg_by_id(target_leg(target));
	__u32 id, *winner;
	struct hop *hop;

	if (!leg)
		return 0;
	if (READ_ONCE(leg->hops_learned) >= LEARNED_PER_LEG) {
		count(EVENT_HOPS_FULL);
		return 0;
	}
	/* A number given out now would be forgotten if the takeover is: it is not, before it is for good. */
	if (taking_over && takeover_phase() == TAKEOVER_KNOWN)
		return 0;
	if (dry_run)
		return hop_ids_left() ? HOP_UNMADE : 0;
	id = take_hop_id();
	hop = hop_by_id(id);
	if (!id || !hop) {
		count(EVENT_HOPS_FULL);
		return 0;
	}
	hop->box = NO_BOX;
	hop->flags = 0;
	hop->moved = 0;
	__builtin_memset(hop->address, 0, sizeof(hop->address));
	WRITE_ONCE(hop->target, target);
	if (!bpf_map_update_elem(&hop_index, &target, &id, BPF_NOEXIST)) {
		__sync_fetch_and_add(&leg->hops_learned, 1);
		count(EVENT_HOP_LEARNED);
		return id;
	}
	WRITE_ONCE(hop->target, 0);
	bpf_map_push_elem(&free_hops, &id, 0);
	winner = bpf_map_lookup_elem(&hop_index, &target);
	return winner ? *winner : 0;
}

/* The hop of a neighbour by its address, 0 if the kernel does not know it. */
static __always_inline __u32 neighbour_hop(__u32 leg_id, const __u8 *address)
{
	struct neighbour_key key = { .leg = leg_id };
	__u32 *id;

	copy_address(key.address, address);
	id = bpf_map_lookup_elem(&neighbour_hops, &key);
	return id ? *id : 0;
}

/* Whether an address is in a subnet of a leg. */
static __always_inline bool is_on_link(__u32 leg_id, const __u8 *address)
{
	struct link_key key = { .prefix_length = 160, .leg = leg_id };

	copy_address(key.address, address);
	return bpf_map_lookup_elem(&on_link, &key) != NULL;
}

/*
 * Whom to answer on a leg that replies to the neighbour, 0: who sent the frame. A router may send from another MAC address
 * than it wants to be answered at (HSRP, VRRP, vPC); a host on the link is answered directly.
 */
static __noinline __u32 neighbour_to_answer(const struct packet *p, const struct leg *leg)
{
	if (is_on_link(p->leg_id, source_of(p)))
		return neighbour_hop(p->leg_id, source_of(p));
	return leg->gateway_hop;
}

/* The hop that responses to the sender of a packet go to: 0 if it is to be made, HOP_DENIED if a strict leg learns none. */
static __noinline __u32 reply_hop(const struct packet *p)
{
	__u32 id = p->source_hop ? p->source_hop : known_source_hop(p), answer;
	struct leg *leg = leg_by_id(p->leg_id);
	struct hop *hop = hop_by_id(id);

	if (!leg)
		return HOP_DENIED;
	if (leg->flags & LEG_NEIGHBOUR && !(id && hop && (hop->box || hop->flags & HOP_GATEWAY))) {
		answer = neighbour_to_answer(p, leg);
		if (answer)
			return answer;
	}
	if (leg->flags & LEG_STRICT && !(id && hop && (hop->box || hop->flags)))
		return HOP_DENIED;
	return id;
}

/* The same, made if it must be; `denied` is counted where it is. 0 if there is none. */
static __always_inline __u32 source_hop(const struct packet *p, __u32 denied)
{
	__u32 id = reply_hop(p);

	if (id == HOP_DENIED) {
		count(denied);
		return 0;
	}
	return likely(id) ? id : learn_hop(p->source_target);
}
