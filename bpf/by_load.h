/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Schedulers that compare live counters: wlc, lc, sed, nq, ovf, twos. */
#pragma once

#include "candidate.h"

struct load_scan {
	__u32 half;
	__u32 first;
	__u32 choice;
	__u32 best;
	__u64 best_weight;
	__u64 best_cost;
};

/*
 * What a candidate costs, to be held against its weight. net/netfilter/ipvs/ip_vs_{wlc,lc,sed,nq}.c; for nq an idle one
 * costs nothing, so that the first of them is taken. What costs the same each time is chosen by weight alone.
 */
static __always_inline __u64 cost_of(__u32 choice, const struct candidate *candidate)
{
	switch (choice) {
	case BY_LOAD_SED:
		return candidate->active + 1;
	case BY_LOAD_NQ:
		return candidate->active ? candidate->active + 1 : 0;
	case BY_LOAD_OVF:
		return 1;
	default:
		return candidate->active * 256 + candidate->inactive;
	}
}

static long compare_load(__u32 i, struct load_scan *scan)
{
	struct candidate candidate;
	__u64 cost, weight;

	if (!candidate_at(&candidate, scan->half, scan->first + i))
		return 0;
	/* ip_vs_ovf.c: who has more active connections than weight is full. */
	if (scan->choice == BY_LOAD_OVF && candidate.active > candidate.weight)
		return 0;
	cost = cost_of(scan->choice, &candidate);
	weight = scan->choice == BY_LOAD_LC ? 1 : candidate.weight;
	if (scan->best == SERVER_NONE || scan->best_cost * weight > cost * scan->best_weight) {
		scan->best = candidate.id;
		scan->best_weight = weight;
		scan->best_cost = cost;
	}
	return 0;
}

/* The least cost / weight, compared by cross-multiplying; the first in the list wins ties; weight 0 is skipped. */
static __noinline __u32 choose_by_load(__u32 half, const struct service *service)
{
	struct load_scan scan = {
		.half = half, .first = service->first_server, .choice = service->choice, .best = SERVER_NONE
	};

	bpf_loop(service->server_count, compare_load, &scan, 0);
	return scan.best;
}

struct weight_scan {
	__u32 half;
	__u32 first;
	__u32 total; /* of the weights before */
	__u32 drawn; /* the total at which it ends */
	__u32 chosen;
};

static long add_weight(__u32 i, struct weight_scan *scan)
{
	struct candidate candidate;

	if (!candidate_at(&candidate, scan->half, scan->first + i))
		return 0;
	scan->total += candidate.weight;
	scan->chosen = candidate.id;
	return scan->total >= scan->drawn;
}

static __always_inline __u64 overhead_of(__u32 id)
{
	struct server_load *load = bpf_map_lookup_elem(&server_loads, &id);

	return load ? (__u64)active_of(id, load) * 256 + inactive_of(id, load) : 0;
}

/*
 * twos: two are drawn, each by weight, with numbers from 0 to the sum of all weights; the second is taken if it has less
 * overhead / weight. net/netfilter/ipvs/ip_vs_twos.c.
 */
static __noinline __u32 choose_of_two(__u32 half, const struct service *service)
{
	struct weight_scan scan = { .half = half, .first = service->first_server, .drawn = ~0U, .chosen = SERVER_NONE };
	__u32 count = service->server_count, total, first;
	struct server *one, *other;

	bpf_loop(count, add_weight, &scan, 0);
	if (scan.chosen == SERVER_NONE)
		return SERVER_NONE;
	total = scan.total;
	scan.total = 0;
	scan.drawn = bpf_get_prandom_u32() % (total + 1);
	bpf_loop(count, add_weight, &scan, 0);
	first = scan.chosen;
	scan.total = 0;
	scan.drawn = bpf_get_prandom_u32() % (total + 1);
	bpf_loop(count, add_weight, &scan, 0);
	one = server_by_id(half, first);
	other = server_by_id(half, scan.chosen);
	if (!one || !other)
		return first;
	return other->weight * overhead_of(first) > one->weight * overhead_of(scan.chosen) ? scan.chosen : first;
}
