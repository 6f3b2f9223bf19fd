/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * LVS's connection states: net/netfilter/ipvs/ip_vs_proto_tcp.c (tcp_states, tcp_states_active).
 * INPUT is the originator's direction; INPUT_ONLY holds until a response is seen (LVS: NOOUTPUT).
 */
#pragma once

#include "packet.h"

enum tcp_direction { TCP_INPUT, TCP_OUTPUT, TCP_INPUT_ONLY, TCP_DIRECTIONS };
enum tcp_event { TCP_EVENT_SYN, TCP_EVENT_FIN, TCP_EVENT_ACK, TCP_EVENT_RST, TCP_EVENTS };

#define NO STATE_NONE
#define ES STATE_ESTABLISHED
#define SS STATE_SYN_SENT
#define SR STATE_SYN_RECV
#define FW STATE_FIN_WAIT
#define TW STATE_TIME_WAIT
#define CL STATE_CLOSE
#define CW STATE_CLOSE_WAIT
#define LA STATE_LAST_ACK
#define LI STATE_LISTEN
#define SA STATE_SYNACK

#define TCP_STATES (STATE_SYNACK + 1)
/* The inner dimension is a power of two, so that a masked index needs no branch. */
#define TCP_STATES_ROW 16

/* clang-format off */
static const __u8 tcp_states[TCP_DIRECTIONS][TCP_EVENTS][TCP_STATES_ROW] = {
	[TCP_INPUT] = {
		/*                     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
		[TCP_EVENT_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
		[TCP_EVENT_FIN] = { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW },
		[TCP_EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[TCP_EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR },
	},
	[TCP_OUTPUT] = {
		[TCP_EVENT_SYN] = { SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR },
		[TCP_EVENT_FIN] = { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
		[TCP_EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
		[TCP_EVENT_RST] = { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL },
	},
	[TCP_INPUT_ONLY] = {
		[TCP_EVENT_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
		[TCP_EVENT_FIN] = { CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },
		[TCP_EVENT_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[TCP_EVENT_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
	},
};
/* clang-format on */

#undef NO
#undef ES
#undef SS
#undef SR
#undef FW
#undef TW
#undef CL
#undef CW
#undef LA
#undef LI
#undef SA

/* ip_vs_proto_tcp.c: tcp_state_active; ip_vs_proto_sctp.c: set_sctp_state. UDP and ICMP count as inactive, as in LVS. */
#define ACTIVE_STATES                                                                                                  \
	(1ULL << STATE_ESTABLISHED | 1ULL << STATE_SYN_SENT | 1ULL << STATE_SYN_RECV | 1ULL << STATE_SYNACK |          \
	 1ULL << STATE_SCTP_ESTABLISHED)

static __always_inline bool state_active(__u32 state)
{
	return ACTIVE_STATES >> (state & 63) & 1;
}

/* Connections that are over, and only wait to be forgotten. */
#define CLOSED_STATES                                                                                                  \
	(1ULL << STATE_TIME_WAIT | 1ULL << STATE_CLOSE | 1ULL << STATE_SCTP_CLOSED | 1ULL << STATE_SCTP_REJECTED)

static __always_inline bool state_closed(__u32 state)
{
	return CLOSED_STATES >> (state & 63) & 1;
}

/* The state after a TCP packet. Flag priority is LVS's: RST, SYN, FIN, ACK; none of them closes. */
static __always_inline __u32 next_tcp_state(__u32 state, __u8 flags, enum direction direction, bool replied)
{
	__u32 table = direction == RESPONSE ? TCP_OUTPUT : replied ? TCP_INPUT : TCP_INPUT_ONLY;
	__u32 event;

	if (flags & TCP_RST)
		event = TCP_EVENT_RST;
	else if (flags & TCP_SYN)
		event = TCP_EVENT_SYN;
	else if (flags & TCP_FIN)
		event = TCP_EVENT_FIN;
	else if (flags & TCP_ACK)
		event = TCP_EVENT_ACK;
	else
		return STATE_CLOSE;
	return tcp_states[table][event & 3][state & (TCP_STATES_ROW - 1)];
}
