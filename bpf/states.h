/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The states a connection can be in. How it gets from one to the next: tcp_state.h, sctp_state.h. */
#pragma once

enum state {
	/* IP_VS_TCP_S_*, in the kernel's order */
	STATE_NONE,
	STATE_ESTABLISHED,
	STATE_SYN_SENT,
	STATE_SYN_RECV,
	STATE_FIN_WAIT,
	STATE_TIME_WAIT,
	STATE_CLOSE,
	STATE_CLOSE_WAIT,
	STATE_LAST_ACK,
	STATE_LISTEN,
	STATE_SYNACK,
	/* of lasthop's own: one state a protocol */
	STATE_UDP,
	STATE_ICMP,
	/* IP_VS_SCTP_S_*, in the kernel's order too */
	STATE_SCTP_NONE,
	STATE_SCTP_INIT1,
	STATE_SCTP_INIT,
	STATE_SCTP_COOKIE_SENT,
	STATE_SCTP_COOKIE_REPLIED,
	STATE_SCTP_COOKIE_WAIT,
	STATE_SCTP_COOKIE,
	STATE_SCTP_COOKIE_ECHOED,
	STATE_SCTP_ESTABLISHED,
	STATE_SCTP_SHUTDOWN_SENT,
	STATE_SCTP_SHUTDOWN_RECEIVED,
	STATE_SCTP_SHUTDOWN_ACK_SENT,
	STATE_SCTP_REJECTED,
	STATE_SCTP_CLOSED,
	/* of lasthop's own again: protocols without a state */
	STATE_OTHER,
	STATE_COUNT,
};
