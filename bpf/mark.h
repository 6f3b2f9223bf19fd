/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Mark rules and pass rules: the first that matches decides. */
#pragma once

#include "extension.h"
#include "record.h"

struct rule_scan {
	const struct packet *packet;
	__u32 first;
	__u32 source_box; /* the real server the frame came from, or NO_BOX */
	__u32 service;	  /* result */
	bool found;
};

static __always_inline bool in_prefix(const __u8 *address, const __u8 *prefix, const __u8 *mask)
{
	const __u32 *a = (const __u32 *)address, *b = (const __u32 *)prefix, *m = (const __u32 *)mask;

	return !(((a[0] & m[0]) ^ b[0]) | ((a[1] & m[1]) ^ b[1]) | ((a[2] & m[2]) ^ b[2]) | ((a[3] & m[3]) ^ b[3]));
}

/*
 * Of a later fragment whose first was not seen nobody knows the ports. It rather goes through a firewall than past it: a pass
 * rule with ports does not match, another rule does.
 */
static __always_inline bool ports_match(const struct rule *rule, const struct packet *p)
{
	__u32 source_port = ntohs(source_port_of(p)), destination_port = ntohs(destination_port_of(p));

	if (unlikely(p->fragment == FRAGMENT_LATER))
		return rule->service != SERVICE_NONE ||
		       (!rule->source_port_first && rule->source_port_last == 0xffff && !rule->destination_port_first &&
			rule->destination_port_last == 0xffff);
	return source_port >= rule->source_port_first && source_port <= rule->source_port_last &&
	       destination_port >= rule->destination_port_first && destination_port <= rule->destination_port_last;
}

/* Likewise of its protocol, if its part begins with a further extension header. */
static __always_inline bool unknown_protocol(const struct rule *rule, const struct packet *p)
{
	return p->fragment == FRAGMENT_LATER && p->family == 6 && extends(p->ip_proto) && rule->service != SERVICE_NONE;
}

static __always_inline bool rule_matches(const struct rule *rule, const struct packet *p, __u32 source_box)
{
	if (!in_prefix(source_of(p), rule->source, rule->source_mask) ||
	    !in_prefix(destination_of(p), rule->destination, rule->destination_mask))
		return 0;
	if (rule->ip_proto != ANY_PROTOCOL && rule->ip_proto != p->ip_proto && !unknown_protocol(rule, p))
		return 0;
	if (rule->family != ANY_FAMILY && rule->family != p->family)
		return 0;
	if (!ports_match(rule, p))
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
	__u32 found; /* result: the server, or SERVER_NONE */
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
	if (!server || server->box != scan->box)
		return 0;
	scan->found = *id;
	return 1;
}

/* The real server of a service that a box is, or SERVER_NONE. */
static __always_inline __u32 server_of_box(__u32 half, __u32 service_id, __u32 box)
{
	__u32 index = half * MAX_SERVICES + service_id;
	struct service *service;
	struct box_scan scan = { .half = half, .box = box, .found = SERVER_NONE };

	if (box == NO_BOX || service_id >= MAX_SERVICES)
		return SERVER_NONE;
	service = bpf_map_lookup_elem(&services, &index);
	if (!service)
		return SERVER_NONE;
	scan.first = service->first_server;
	bpf_loop(service->server_count, compare_box, &scan, 0);
	return scan.found;
}

/* Whether a box is a real server of a service: such a packet must not be scheduled by it. */
static __always_inline bool serves(__u32 half, __u32 service_id, __u32 box)
{
	return server_of_box(half, service_id, box) != SERVER_NONE;
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
	note_rule(scan->first + i);
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
