/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the director writes for packets to read: legs, hops, rules, services, real servers. Part of abi.h. */
#pragma once

#include "limits.h"

/* A VLAN tag, without its priority bits. Protocol 0: none. */
struct vlan_tag {
	__be16 protocol; /* 802.1Q or 802.1ad */
	__u16 vid;
};

/* An attached interface, or one VLAN of it. `zone` is part of every connection's key. */
struct leg {
	__u32 ifindex; /* 0: the slot is free */
	__u32 mtu;
	__u8 mac[ETH_ALEN];
	__u16 zone;
	__u32 flags; /* enum leg_flag */
	__u32 hops_learned;
	__u32 gateway_hop; /* with LEG_NEIGHBOUR: where responses to who is not on the link go; 0: not known */
	struct vlan_tag tags[MAX_TAGS]; /* of its frames, the outer first */
	__u32 reserved;
};

/* Which frames of an interface are a tagged leg's. Priority tags (VLAN 0) count as none. */
struct vlan_leg {
	__u32 ifindex;
	__u16 outer;
	__u16 inner; /* 0: none */
};

/* A neighbour on a leg. */
struct neighbour_key {
	__u32 leg;
	__u8 address[16];
};

/* Prefixes of a leg's own subnets; the length counts the leg's 32 bits too. */
struct link_key {
	__u32 prefix_length;
	__u32 leg;
	__u8 address[16];
};

/* What the transmit probe sends: not a frame any bridge forwards or any host accepts. */
struct probe_frame {
	struct ethhdr eth;
	__u16 reserved;
	__u32 ifindex;
	__u8 padding[40];
};

struct own_mac_key {
	__u32 leg;
	__u8 mac[ETH_ALEN];
	__u16 reserved;
};

/*
 * Where frames are sent. The target word is the MAC address in its first six bytes and the leg's
 * id + 1 in the last two (0: free), so that one write re-points every connection that goes there.
 */
struct hop {
	__u64 target;
	__u16 box;   /* id of the real server's name, or NO_BOX */
	__u16 flags; /* enum hop_flag */
	__u32 moved;
	__u8 address[16]; /* the neighbour's, ::ffff:a.b.c.d for IPv4; zero if not known */
};

struct service {
	__u32 mark;
	__u16 choice;
	__u16 flags;
	__u32 first_server; /* in `listed`: the service's servers in file order */
	__u32 first_turn;   /* in `listed`: the slots of BY_TURN */
	__u16 server_count;
	__u16 turn_count;
	__u16 fallback_count;	  /* FALLBACK_SLOTS, or 0 when no server is usable */
	__u8 persistence_prefix;  /* of IPv4, as of all 128 bits: 96 and more */
	__u8 persistence_prefix6; /* of IPv6 */
	__u32 mtu;		  /* the smallest of its real servers' legs: nothing larger is scheduled */
	__u32 on_death;
	__u64 persistence_ns; /* 0: no persistence */
};

/*
 * A live counter is followed by a count of its changes, with which it makes one word that is added to at once: a sweep
 * that finds the changes as they were knows that nobody moved the counter meanwhile.
 */
struct service_load {
	__u64 turn;
	__u32 unassured; /* live connections that are not assured */
	__u32 unassured_changes;
};

/* A real server of one service. */
struct server {
	__u32 hop; /* 0: its MAC address was never known */
	__u16 service;
	__u16 box;
	__u32 weight; /* configured */
	__u32 flags;
};

struct server_load {
	__u32 active;
	__u32 active_changes;
	__u32 inactive;
	__u32 inactive_changes;
	__u32 persistent;
	__u32 overloaded; /* upper was reached, and the connections did not come below lower since */
	__u32 upper;	  /* the director's: thresholds of active and inactive connections, 0: none */
	__u32 lower;
};

/* LVS: struct ip_vs_kstats. */
struct statistics {
	__u64 connections;
	__u64 packets[DIRECTIONS];
	__u64 bytes[DIRECTIONS];
	__u64 reserved[3];
};

/* Of a real server, or of a service: then `over` is of the real servers it does not have any more. */
struct account {
	struct statistics over; /* connections that were given to it, packets and bytes of those that are over */
	struct statistics zero; /* what to subtract: the director's, as of the last ipvsadm -Z */
};

/* Rendezvous: the id of the server for each slot of the unordered address pair's hash. */
struct fallback {
	__u16 server[FALLBACK_SLOTS + 3];
};

/* Addresses and masks of a rule are of 128 bits: an IPv4 prefix is one of ::ffff:0:0/96. */
struct rule {
	__u8 source[16];
	__u8 source_mask[16];
	__u8 destination[16];
	__u8 destination_mask[16];
	__u16 source_port_first;
	__u16 source_port_last;
	__u16 destination_port_first;
	__u16 destination_port_last;
	__u16 service; /* SERVICE_NONE: pass rule */
	__u16 leg;
	__u16 box;
	__u8 ip_proto;
	__u8 dscp;
	__u8 family; /* ANY_FAMILY, 4, 6 */
	__u8 reserved[7];
};

struct ruleset {
	__u32 pass_count; /* the first rules are pass rules */
	__u32 rule_count;
	__u64 timeout_ns[STATE_COUNT];
	__u32 flags; /* enum ruleset_flag */
	__u32 reserved;
	__u64 replace_idle_ns; /* an assured connection that is idle for longer may give way in a full bucket */
};

struct live {
	__u32 half;
	__u32 next_hop; /* ids below it were given out to packets; 0 is never given */
	__u32 abi_version;
	__u32 netns; /* inode number of the network namespace the legs are in */
	__u32 resize_phase;
	__be16 probe_port; /* 0: nobody probes */
	__u16 on_detach;   /* 1: closed; for who detaches when no director runs */
	__u32 takeover;	   /* enum takeover_phase */
	__u32 reserved;
};

struct local_key {
	__u32 prefix_length;
	__u8 address[16];
};

/* What a service by address takes. The half is part of it, so that one write switches these too. */
struct virtual_address {
	__u8 address[16];
	__be16 port; /* 0: every port */
	__u16 zone;
	__u8 ip_proto;
	__u8 half;
	__u16 reserved;
};

/* A box that is dead in a zone. The half is part of it, as of virtual_address. */
struct dead_box {
	__u16 zone;
	__u16 box;
	__u16 half;
	__u16 reserved;
};

struct server_address {
	__u32 zone;
	__u8 address[16];
};

struct name {
	char text[NAME_LENGTH];
};

/* XDP frames handed to an interface, as the kernel's tracepoint tells. */
struct xdp_sent {
	__u64 sent;
	__u64 lost;
};
