/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps, each with what it maps, who writes it and who reads it. All are pinned.
 * "Director" is the Python process; "packets" are the tc and XDP programs.
 */
#pragma once

#include "abi.h"

#define ARRAY_MAP(map, value_type, entries)                                                                            \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__type(key, __u32);                                                                                    \
		__type(value, value_type);                                                                             \
		__uint(max_entries, entries);                                                                          \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
	} map SEC(".maps")

#define HASH_MAP(map, key_type, value_type, entries)                                                                   \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_HASH);                                                                       \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
		__uint(max_entries, entries);                                                                          \
	} map SEC(".maps")

/* 0 -> which half packets read. The director writes it last: the one write that publishes. */
ARRAY_MAP(live, struct live, 1);

/* half -> counts and time-outs. Director writes the half that is not live. */
ARRAY_MAP(rulesets, struct ruleset, HALVES);

/* half * MAX_RULES + position -> rule. Director writes; packets scan on a miss. */
ARRAY_MAP(rules, struct rule, HALVES * MAX_RULES);

/* half * MAX_SERVICES + service id -> service. Director writes; packets read on a miss. */
ARRAY_MAP(services, struct service, HALVES * MAX_SERVICES);

/* half * MAX_SERVERS + server id -> server. Director writes; packets read on a miss. */
ARRAY_MAP(servers, struct server, HALVES * MAX_SERVERS);

/* half * MAX_LISTED + position -> server id: the ordered lists that services point into. */
ARRAY_MAP(listed, __u32, HALVES * MAX_LISTED);

/* half * MAX_SERVICES + service id -> rendezvous table. Read when a packet must not be scheduled. */
ARRAY_MAP(fallbacks, struct fallback, HALVES * MAX_SERVICES);

/* service id -> the turn. Packets write; not part of what is switched. */
ARRAY_MAP(service_loads, struct service_load, MAX_SERVICES);

/* server id -> live connections. Packets and the sweep write; not part of what is switched. */
ARRAY_MAP(server_loads, struct server_load, MAX_SERVERS);

/* server id -> account. Packets add when a connection begins and when it ends; the director reads. */
ARRAY_MAP(accounts, struct account, MAX_SERVERS);

/* service id -> account of the real servers it had. Director writes when it gives a server's id back. */
ARRAY_MAP(past_accounts, struct account, MAX_SERVICES);

/* leg id -> leg. Director writes; packets read twice each, in and out. */
ARRAY_MAP(legs, struct leg, MAX_LEGS);

/* ifindex -> leg id + 1, 0: none; for interfaces of an index below SMALL_IFINDEX. Director writes; packets read. */
ARRAY_MAP(leg_by_ifindex, __u32, SMALL_IFINDEX);

/* (ifindex, VLANs) -> leg id, for tagged legs. Director writes; packets with a tag read. */
HASH_MAP(vlan_legs, struct vlan_leg, __u32, MAX_LEGS);

/* (leg, address) -> hop id: neighbours that the kernel knows, on legs that reply to the neighbour or are strict. */
HASH_MAP(neighbour_hops, struct neighbour_key, __u32, MAX_NEIGHBOURS);

/* (leg, prefix) -> 1: the subnets of legs that reply to the neighbour. Director writes; read when a last hop is chosen. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct link_key);
	__type(value, __u8);
	__uint(max_entries, MAX_LOCAL);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} on_link SEC(".maps");

/* ifindex -> leg id, for all. Director writes; packets of interfaces with a large index read. */
HASH_MAP(leg_index, __u32, __u32, MAX_LEGS);

/* (leg id, MAC) -> 1 for MAC addresses that are the director's beside the leg's own. */
HASH_MAP(own_macs, struct own_mac_key, __u8, MAX_OWN_MACS);

/* hop id -> hop. Packets learn, director resolves and re-points. Id 0 is never used. */
ARRAY_MAP(hops, struct hop, MAX_HOPS);

/* hop id -> connections that use it, as the running sweep counts them. The director zeroes it before a sweep. */
ARRAY_MAP(hop_refs, __u32, MAX_HOPS);

/* target word -> hop id: what makes hops unique. Packets and director insert, never overwrite. */
HASH_MAP(hop_index, __u64, __u32, MAX_HOPS);

/* Hop ids that were given back. Packets pop, director and losers of a race push. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__type(value, __u32);
	__uint(max_entries, MAX_HOPS);
} free_hops SEC(".maps");

/* prefix -> 1 for destinations the director's kernel delivers to itself. Read on a miss. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct local_key);
	__type(value, __u8);
	__uint(max_entries, MAX_LOCAL);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} local SEC(".maps");

/* What a service by address takes -> service id. Director writes the half that is not live; read on a miss. */
HASH_MAP(virtual_addrs, struct virtual_address, __u32, HALVES * MAX_SERVICES);

/* A dead box -> the id of its server. Director writes the half that is not live; read only while there are any. */
HASH_MAP(dead_boxes, struct dead_box, __u32, HALVES * MAX_SERVERS);

/* (zone, address) -> server id for packets to a real server's own address. Read on a miss. */
HASH_MAP(server_addrs, struct server_address, __u32, MAX_SERVERS);

/* bucket -> tags of its ways. Packets, sweep and move write; only the table's own headers touch it and the next ones. */
ARRAY_MAP(tags, struct bucket, 1);

/* slot = bucket * WAYS + way -> connection. The director reads it through a memory map. */
ARRAY_MAP(entries, struct connection, WAYS);

/* The table that connections are being moved to; not used otherwise. */
ARRAY_MAP(next_tags, struct bucket, 1);
ARRAY_MAP(next_entries, struct connection, WAYS);

/* 0 -> the hash's secret, which the director draws once, and counters, which packets and the sweep write. */
ARRAY_MAP(table, struct table, 1);

/* server id, service id -> live connections as the running sweep counts them. The director zeroes both before a sweep. */
ARRAY_MAP(server_census, struct server_census, MAX_SERVERS);
ARRAY_MAP(service_census, __u32, MAX_SERVICES);

/* (service, masked client) -> template. Packets write on new connections of persistent services. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct template_key);
	__type(value, struct template);
	__uint(max_entries, MAX_TEMPLATES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} templates SEC(".maps");

/* (service, destination) -> its real servers, for lblc and lblcr; its key has the destination for a client. Packets write. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct template_key);
	__type(value, struct locality);
	__uint(max_entries, MAX_LOCALITIES);
} localities SEC(".maps");

/* Datagram -> where its fragments go. Packets write with a first fragment, and with a later one that came before it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct connection_key);
	__type(value, struct fragment);
	__uint(max_entries, MAX_FRAGMENTS);
} fragments SEC(".maps");

/* (zone, addresses) -> connections of theirs. Packets write on new connections while a service is related. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct pair_key);
	__type(value, struct pair);
	__uint(max_entries, MAX_PAIRS);
} pairs SEC(".maps");

/* live.samples % SAMPLES -> the newest asymmetric responses. Packets write, director reads. */
ARRAY_MAP(samples, struct sample, SAMPLES);

/* 0 -> what the explaining program found. Only that one writes; the director reads after each run. */
ARRAY_MAP(record, struct record, 1);

/* Frames of legs with LEG_CAPTURE. Packets write, `lasthop capture` reads. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4194304);
} captures SEC(".maps");

/* Path probes that came back. Packets write, the director that sent them reads. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} answers SEC(".maps");

/* ifindex -> XDP frames handed over. The tracepoint program writes; director reads. */
HASH_MAP(xdp_sent, __u32, struct xdp_sent, 1024);

/* 0 -> counted reasons, per CPU. Packets write, director reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counters);
	__uint(max_entries, 1);
} reasons SEC(".maps");

/* id -> name, for a director that starts after another. Director writes a name before it uses the id. */
ARRAY_MAP(zone_names, struct name, MAX_LEGS);
ARRAY_MAP(leg_names, struct name, MAX_LEGS);
ARRAY_MAP(box_names, struct name, MAX_BOXES);
ARRAY_MAP(service_names, struct name, MAX_SERVICES);
