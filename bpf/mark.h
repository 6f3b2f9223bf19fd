/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Mark rules and pass rules: the first that matches decides. */
#pragma once

#include "count.h"
#include "parse.h"

struct rule_scan {
	const struct packet *packet;
	__u32 first;
	__u32 source_box; /* the real server the frame came from, or NO_BOX */
	__u32 service;	  /* result */
	bool found;
};

static __always_inline bool rule_matches(const struct rule *rule, const struct packet *p, __u32 source_box)
{
	__u32 source_port = ntohs(p->source_port), destination_port = ntohs(p->destination_port);

	if ((p->source & rule->source_mask) != rule->source ||
	    (p->destination & rule->destination_mask) != rule->destination)
		return 0;
	if (rule->ip_proto != ANY_PROTOCOL && rule->ip_proto != p->ip_proto)
		return 0;
	if (source_port < rule->source_port_first || source_port > rule->source_port_last ||
	    destination_port < rule->destination_port_first || destination_port > rule->destination_port_last)
		return 0;
	if (rule->leg != ANY_LEG && rule->leg != p->leg_id)
		return 0;
	if (rule->dscp != ANY_DSCP && rule->dscp != p->dscp)
		return 0;
	return rule->box == NO_BOX || rule->box == source_box || (rule->box == ANY_BOX && source_box != NO_BOX);
}

struct box_scan {
	__u32 half;
	__u32 first;
	__u32 box;
	bool found;
};

static long compare_box(__u32 i, struct box_scan *scan)
{
	__u32 position = scan->half * MAX_LISTED + scan->first + i;
	__u32 *id = bpf_map_lookup_elem(&listed, &position);
	struct server *server;
	__u32 index;

	if (!id)
		return 1;
	index = scan->half * MAX_SERVERS + *id;
	server = bpf_map_lookup_elem(&servers, &index);
	scan->found = server && server->box == scan->box;
	return scan->found;
}

/* Whether a box is a real server of a service: such a packet must not be scheduled by it. */
static __always_inline bool serves(__u32 half, __u32 service_id, __u32 box)
{
	__u32 index = half * MAX_SERVICES + service_id;
	struct service *service;
	struct box_scan scan = { .half = half, .box = box };

	if (box == NO_BOX || service_id >= MAX_SERVICES)
		return 0;
	service = bpf_map_lookup_elem(&services, &index);
	if (!service)
		return 0;
	scan.first = service->first_server;
	bpf_loop(service->server_count, compare_box, &scan, 0);
	return scan.found;
}

static long try_rule(__u32 i, struct rule_scan *scan)
{
	const struct packet *p = scan->packet;
	__u32 position = p->half * MAX_RULES + scan->first + i;
	struct rule *rule = bpf_map_lookup_elem(&rules, &position);

	if (!rule)
		return 1;
	if (!rule_matches(rule, p, scan->source_box) || serves(p->half, rule->service, scan->source_box))
		return 0;
	scan->service = rule->service;
	scan->found = 1;
	return 1;
}

/* Try rules first..first + count - 1. The service of the one that matches goes to p->choice. */
static __always_inline bool match_rules(struct packet *p, __u32 first, __u32 rule_count, __u32 source_box)
{
	struct rule_scan scan = { .packet = p, .first = first, .source_box = source_box };

	bpf_loop(rule_count, try_rule, &scan, 0);
	p->choice.service = scan.service;
	return scan.found;
}
